-- An account to which nobody may log in for now, and which keeps everything.
ALTER TABLE accounts ADD COLUMN disabled BOOLEAN NOT NULL DEFAULT FALSE;
