SELECT id, stanza FROM archive WHERE owner = $1 AND log = $2 AND id > $3 ORDER BY id LIMIT $4
