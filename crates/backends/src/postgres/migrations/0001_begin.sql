-- Accounts, rosters, logs and items. Every primary key, and every unique index, begins with the owning address, so that the
-- tables may be spread by it; nothing here is beyond what distributed descendants of PostgreSQL understand.
CREATE TABLE accounts (
    owner TEXT NOT NULL PRIMARY KEY,
    domain TEXT NOT NULL,
    created BIGINT NOT NULL,   -- microseconds since 1970, as all times here
    last_seen BIGINT,
    verifiers TEXT NOT NULL    -- one line each, RFC 5803
);
CREATE INDEX accounts_by_domain ON accounts (domain, owner COLLATE "C");

CREATE TABLE rosters (
    owner TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    oldest BIGINT NOT NULL
);

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
    pending_in BYTEA,
    in_roster BOOLEAN NOT NULL,
    PRIMARY KEY (owner, jid)
);

CREATE TABLE archive (
    owner TEXT NOT NULL,
    log TEXT NOT NULL,
    id BYTEA NOT NULL,          -- 16 bytes, most significant first
    at BIGINT NOT NULL,
    peer TEXT,
    peer_bare TEXT,
    unique_key BYTEA,
    stanza BYTEA NOT NULL,
    PRIMARY KEY (owner, log, id)
);
CREATE UNIQUE INDEX archive_once ON archive (owner, log, unique_key) WHERE unique_key IS NOT NULL;

CREATE TABLE items (
    owner TEXT NOT NULL,
    space TEXT NOT NULL,
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    value BYTEA NOT NULL,
    PRIMARY KEY (owner, space, name)
);
