DELETE FROM rosters WHERE owner = ANY($1::TEXT[])
