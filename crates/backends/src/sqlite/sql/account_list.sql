SELECT owner FROM accounts WHERE domain = $1 AND owner > $2 ORDER BY owner LIMIT $3
