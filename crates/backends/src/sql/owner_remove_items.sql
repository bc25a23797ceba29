DELETE FROM items WHERE owner = $1
