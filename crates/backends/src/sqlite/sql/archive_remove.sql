DELETE FROM archive WHERE owner = $1 AND log = $2 AND id = $3
RETURNING id, CASE WHEN EXISTS (SELECT 1 FROM indexed WHERE owner = $1 AND log = $2) THEN stanza END
