DELETE FROM words USING UNNEST($3::TEXT[], $4::BYTEA[]) AS w (word, id)
WHERE words.owner = $1 AND words.log = $2 AND words.word = w.word AND words.id = w.id
