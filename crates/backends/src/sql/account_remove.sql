DELETE FROM accounts WHERE owner = $1
