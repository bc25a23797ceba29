DELETE FROM indexed WHERE owner = ANY($1::TEXT[])
