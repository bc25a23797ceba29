SELECT id, stanza FROM archive WHERE log = $1 AND id > $2 ORDER BY id LIMIT $3
