UPDATE rosters SET version = version + 1 WHERE owner = $1 AND version = $2
