UPDATE rosters SET oldest = $2 WHERE owner = $1
