UPDATE accounts SET verifiers = $2 WHERE owner = $1 AND NOT retired
