UPDATE accounts SET retired = TRUE WHERE owner = $1 AND NOT retired
