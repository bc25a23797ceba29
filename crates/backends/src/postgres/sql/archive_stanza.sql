SELECT stanza FROM archive WHERE owner = $1 AND log = $2 AND id = $3 FOR UPDATE
