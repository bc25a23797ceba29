INSERT INTO words (log, word, id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
