UPDATE archive SET stanza = $1 WHERE owner = $2 AND log = $3 AND id = $4
