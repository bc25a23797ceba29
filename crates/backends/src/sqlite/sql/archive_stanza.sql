SELECT stanza FROM archive WHERE log = $1 AND id = $2
