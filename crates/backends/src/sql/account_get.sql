SELECT created, last_seen, verifiers FROM accounts WHERE owner = $1 AND NOT retired
