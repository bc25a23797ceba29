SELECT created, last_seen, verifiers, disabled FROM accounts WHERE owner = $1 AND NOT retired
