INSERT INTO accounts (owner, domain, created, last_seen, verifiers)
SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::BIGINT[], $5::TEXT[])
