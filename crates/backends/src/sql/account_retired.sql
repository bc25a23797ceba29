SELECT owner FROM accounts WHERE retired AND owner > $1 ORDER BY owner LIMIT $2
