SELECT id, at, peer, unique_key, stanza FROM archive
WHERE owner = $1 AND log = $2 AND id > $3 AND id < $4 AND at >= $5 AND at <= $6
  AND (CAST($7 AS TEXT) IS NULL OR peer_bare = $7) AND (CAST($8 AS TEXT) IS NULL OR peer = $8)
ORDER BY id ASC LIMIT $9
