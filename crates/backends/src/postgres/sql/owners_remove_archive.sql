DELETE FROM archive WHERE owner = ANY($1::TEXT[])
