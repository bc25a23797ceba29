SELECT id FROM indexed WHERE owner = $1 AND log = $2
