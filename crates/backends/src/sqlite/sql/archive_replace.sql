UPDATE archive SET stanza = $1 WHERE log = $2 AND id = $3
