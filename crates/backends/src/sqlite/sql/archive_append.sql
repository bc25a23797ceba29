INSERT INTO archive (log, id, at, peer, peer_bare, unique_key, stanza) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING
