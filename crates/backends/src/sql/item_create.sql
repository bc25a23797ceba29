INSERT INTO items (owner, space, name, version, value) VALUES ($1, $2, $3, 1, $4) ON CONFLICT DO NOTHING
