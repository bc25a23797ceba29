UPDATE rosters SET oldest = $1 WHERE owner = $2
