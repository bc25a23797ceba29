DELETE FROM rosters WHERE owner = $1
