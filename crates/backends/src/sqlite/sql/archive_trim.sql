DELETE FROM archive
WHERE log = $1 AND id IN (SELECT id FROM archive WHERE log = $1 AND id <= $2 ORDER BY id LIMIT $3)
RETURNING id, CASE WHEN (SELECT indexed FROM logs WHERE number = $1) IS NOT NULL THEN stanza END
