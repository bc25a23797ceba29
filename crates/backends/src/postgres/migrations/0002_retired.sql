-- An account that is to go is retired first: its home ends its sessions and cancels its subscriptions, then removes it.
ALTER TABLE accounts ADD COLUMN retired BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX accounts_retired ON accounts (owner) WHERE retired;
