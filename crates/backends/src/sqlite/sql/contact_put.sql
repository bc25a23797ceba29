INSERT OR REPLACE INTO contacts (owner, jid, version, removed, name, group_names, subscription, asks, approved, pending_in, in_roster)
VALUES ($1, $2, $3, FALSE, $4, $5, $6, $7, $8, $9, $10)
