INSERT INTO archive (owner, log, id, at, peer, peer_bare, unique_key, stanza)
SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BYTEA[], $4::BIGINT[], $5::TEXT[], $6::TEXT[], $7::BYTEA[], $8::BYTEA[])
ON CONFLICT DO NOTHING
