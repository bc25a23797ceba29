SELECT version, jid FROM contacts WHERE owner = $1 AND removed ORDER BY version DESC, jid DESC LIMIT 1 OFFSET $2
