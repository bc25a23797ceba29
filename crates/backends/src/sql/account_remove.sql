DELETE FROM accounts WHERE owner = $1 AND retired
