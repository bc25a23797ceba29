SELECT count(*) FROM archive WHERE log = $1
