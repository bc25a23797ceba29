DELETE FROM words WHERE log = $1 AND word = $2 AND id = $3
