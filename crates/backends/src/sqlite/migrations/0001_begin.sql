-- Accounts, rosters, logs and items. Every primary key begins with the owning address.
CREATE TABLE accounts (
    owner TEXT NOT NULL PRIMARY KEY,
    domain TEXT NOT NULL,
    created BIGINT NOT NULL,   -- microseconds since 1970, as all times here
    last_seen BIGINT,
    verifiers TEXT NOT NULL    -- one line each, RFC 5803
) WITHOUT ROWID;
CREATE INDEX accounts_by_domain ON accounts (domain, owner);

CREATE TABLE rosters (
    owner TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    oldest BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE contacts (
    owner TEXT NOT NULL,
    jid TEXT NOT NULL,
    version BIGINT NOT NULL,
    removed BOOLEAN NOT NULL,
    name TEXT,
    group_names TEXT NOT NULL, -- JSON array
    subscription TEXT NOT NULL,
    asks BOOLEAN NOT NULL,
    approved BOOLEAN NOT NULL,
    pending_in BLOB,
    in_roster BOOLEAN NOT NULL,
    PRIMARY KEY (owner, jid)
) WITHOUT ROWID;

CREATE TABLE archive (
    owner TEXT NOT NULL,
    log TEXT NOT NULL,
    id BLOB NOT NULL,          -- 16 bytes, most significant first
    at BIGINT NOT NULL,
    peer TEXT,
    peer_bare TEXT,
    unique_key BLOB,
    stanza BLOB NOT NULL,
    PRIMARY KEY (owner, log, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX archive_once ON archive (owner, log, unique_key) WHERE unique_key IS NOT NULL;

CREATE TABLE items (
    owner TEXT NOT NULL,
    space TEXT NOT NULL,
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (owner, space, name)
) WITHOUT ROWID;
