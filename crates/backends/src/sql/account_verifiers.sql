UPDATE accounts SET verifiers = $1 WHERE owner = $2 AND NOT retired
