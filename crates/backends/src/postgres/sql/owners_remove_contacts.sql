DELETE FROM contacts WHERE owner = ANY($1::TEXT[])
