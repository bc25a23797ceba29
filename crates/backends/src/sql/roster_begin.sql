INSERT INTO rosters (owner, version, oldest) VALUES ($1, 1, 0) ON CONFLICT DO NOTHING
