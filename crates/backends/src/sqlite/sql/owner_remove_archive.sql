DELETE FROM archive WHERE log IN (SELECT number FROM logs WHERE owner = $1)
