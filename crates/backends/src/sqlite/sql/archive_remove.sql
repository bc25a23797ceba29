DELETE FROM archive WHERE log = $1 AND id = $2
RETURNING id, CASE WHEN (SELECT indexed FROM logs WHERE number = $1) IS NOT NULL THEN stanza END
