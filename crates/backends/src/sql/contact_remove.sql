UPDATE contacts
SET removed = TRUE, version = $1, name = NULL, group_names = '[]', subscription = 'none', asks = FALSE, approved = FALSE,
    pending_in = NULL, in_roster = FALSE
WHERE owner = $2 AND jid = $3 AND NOT removed
