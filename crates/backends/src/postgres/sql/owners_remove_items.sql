DELETE FROM items WHERE owner = ANY($1::TEXT[])
