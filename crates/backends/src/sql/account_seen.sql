UPDATE accounts SET last_seen = $1 WHERE owner = $2
