UPDATE items SET version = version + 1, value = $1 WHERE owner = $2 AND space = $3 AND name = $4 AND version = $5
