SELECT id FROM archive WHERE owner = $1 AND log = $2 ORDER BY id DESC LIMIT 1 OFFSET $3
