INSERT INTO contacts
    (owner, jid, version, removed, name, group_names, subscription, asks, approved, pending_in, in_roster)
SELECT $1, c.jid, $2, FALSE, c.name, c.group_names, c.subscription, c.asks, c.approved, c.pending_in, c.in_roster
FROM UNNEST($3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::BOOLEAN[], $8::BOOLEAN[], $9::BYTEA[], $10::BOOLEAN[])
    AS c (jid, name, group_names, subscription, asks, approved, pending_in, in_roster)
ON CONFLICT (owner, jid) DO UPDATE SET
    version = EXCLUDED.version, removed = FALSE, name = EXCLUDED.name, group_names = EXCLUDED.group_names,
    subscription = EXCLUDED.subscription, asks = EXCLUDED.asks, approved = EXCLUDED.approved,
    pending_in = EXCLUDED.pending_in, in_roster = EXCLUDED.in_roster
