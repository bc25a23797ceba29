SELECT version, value FROM items WHERE owner = $1 AND space = $2 AND name = $3
