SELECT owner FROM accounts
WHERE domain = $1 AND owner COLLATE "C" > $2 AND NOT retired ORDER BY owner COLLATE "C" LIMIT $3
