UPDATE accounts SET last_seen = $2 WHERE owner = $1
