DELETE FROM contacts WHERE owner = $1 AND removed AND (version < $2 OR (version = $2 AND jid <= $3))
