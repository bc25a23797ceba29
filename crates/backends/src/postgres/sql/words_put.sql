INSERT INTO words (owner, log, word, id)
SELECT $1, $2, w.word, w.id FROM UNNEST($3::TEXT[], $4::BYTEA[]) AS w (word, id)
ON CONFLICT DO NOTHING
