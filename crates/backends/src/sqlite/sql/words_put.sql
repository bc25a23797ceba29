INSERT INTO words (owner, log, word, id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
