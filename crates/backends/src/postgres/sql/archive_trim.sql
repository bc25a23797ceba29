DELETE FROM archive
WHERE owner = $1 AND log = $2
  AND id IN (SELECT id FROM archive WHERE owner = $1 AND log = $2 AND id <= $3 ORDER BY id LIMIT $4)
RETURNING id, CASE WHEN EXISTS (SELECT 1 FROM indexed WHERE owner = $1 AND log = $2) THEN stanza END
