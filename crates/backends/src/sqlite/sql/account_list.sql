SELECT owner FROM accounts WHERE domain = $1 AND owner > $2 AND NOT retired ORDER BY owner LIMIT $3
