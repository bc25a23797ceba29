UPDATE contacts
SET removed = TRUE, version = $3, name = NULL, group_names = '[]', subscription = 'none', asks = FALSE, approved = FALSE,
    pending_in = NULL, in_roster = FALSE
WHERE owner = $1 AND jid = $2 AND NOT removed
