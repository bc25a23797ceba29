SELECT name, version, value FROM items WHERE owner = $1 AND space = $2
