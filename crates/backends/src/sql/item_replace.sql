UPDATE items SET version = version + 1, value = $4 WHERE owner = $1 AND space = $2 AND name = $3 AND version = $5
