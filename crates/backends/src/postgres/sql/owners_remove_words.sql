DELETE FROM words WHERE owner = ANY($1::TEXT[])
