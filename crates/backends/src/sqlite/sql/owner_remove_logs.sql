DELETE FROM logs WHERE owner = $1
