DELETE FROM words WHERE owner = $1 AND log = $2 AND word = $3 AND id = $4
