SELECT id, at, peer, unique_key, stanza FROM archive WHERE log = $1 AND id = $2
