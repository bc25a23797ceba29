SELECT id FROM archive WHERE owner = $1 AND log = $2 AND unique_key = $3
