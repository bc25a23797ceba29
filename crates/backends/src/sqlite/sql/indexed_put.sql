UPDATE logs SET indexed = $1 WHERE number = $2
