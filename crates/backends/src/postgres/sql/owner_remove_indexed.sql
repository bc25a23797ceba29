DELETE FROM indexed WHERE owner = $1
