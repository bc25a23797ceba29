INSERT INTO accounts (owner, domain, created, last_seen, verifiers) VALUES ($1, $2, $3, $4, $5)
