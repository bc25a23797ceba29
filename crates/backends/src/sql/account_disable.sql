UPDATE accounts SET disabled = $1 WHERE owner = $2 AND NOT retired
