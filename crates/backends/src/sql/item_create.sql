INSERT INTO items (value, owner, space, name, version) VALUES ($1, $2, $3, $4, 1) ON CONFLICT DO NOTHING
