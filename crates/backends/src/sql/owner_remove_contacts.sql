DELETE FROM contacts WHERE owner = $1
