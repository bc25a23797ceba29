UPDATE accounts SET disabled = $2 WHERE owner = $1 AND NOT retired
