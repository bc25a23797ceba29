SELECT owner FROM accounts WHERE domain = $1 AND owner COLLATE "C" > $2 ORDER BY owner COLLATE "C" LIMIT $3
