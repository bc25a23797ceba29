SELECT min(log) FROM archive WHERE owner = $1 AND log > $2
