INSERT INTO logs (owner, name) VALUES ($1, $2) RETURNING number
