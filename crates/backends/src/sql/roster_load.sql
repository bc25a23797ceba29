SELECT r.version, r.oldest, c.jid, c.version, c.removed, c.name, c.group_names, c.subscription, c.asks, c.approved,
       c.pending_in, c.in_roster
FROM rosters r LEFT JOIN contacts c ON c.owner = r.owner
WHERE r.owner = $1
