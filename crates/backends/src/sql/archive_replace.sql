UPDATE archive SET stanza = $4 WHERE owner = $1 AND log = $2 AND id = $3
