DELETE FROM words WHERE log IN (SELECT number FROM logs WHERE owner = $1)
