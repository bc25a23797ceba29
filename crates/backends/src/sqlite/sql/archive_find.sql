SELECT id FROM archive WHERE log = $1 AND unique_key = $2
