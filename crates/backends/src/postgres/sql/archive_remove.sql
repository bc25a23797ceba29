DELETE FROM archive WHERE owner = $1 AND log = $2 AND id = ANY($3::BYTEA[])
RETURNING id, CASE WHEN EXISTS (SELECT 1 FROM indexed WHERE owner = $1 AND log = $2) THEN stanza END
