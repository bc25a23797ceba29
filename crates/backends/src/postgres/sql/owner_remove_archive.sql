DELETE FROM archive WHERE owner = $1
