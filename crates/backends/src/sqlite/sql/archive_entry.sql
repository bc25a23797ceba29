SELECT id, at, peer, unique_key, stanza FROM archive WHERE owner = $1 AND log = $2 AND id = $3
