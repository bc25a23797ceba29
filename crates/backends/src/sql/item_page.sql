SELECT space, name, version, value FROM items
WHERE owner = $1 AND (space, name) > ($2, $3) ORDER BY space, name LIMIT $4
