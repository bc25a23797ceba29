SELECT number FROM logs WHERE owner = $1 AND name = $2
