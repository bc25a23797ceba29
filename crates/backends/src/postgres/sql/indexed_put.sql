INSERT INTO indexed (owner, log, id) VALUES ($1, $2, $3) ON CONFLICT (owner, log) DO UPDATE SET id = EXCLUDED.id
