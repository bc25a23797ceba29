-- What is said is written one after the other, whoever says it, and only what is looked for by is kept in order: in indexes so narrow that
-- many entries share a page. Logs have numbers, so that no index repeats their owners' addresses; none is given twice, lest somebody who
-- has just looked one up reads what is another's by then.
CREATE TABLE logs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    indexed BLOB,              -- the id up to where its words are indexed, when they are
    UNIQUE (owner, name)
);
INSERT INTO logs (owner, name) SELECT DISTINCT owner, log FROM archive;
INSERT OR IGNORE INTO logs (owner, name) SELECT owner, log FROM indexed;
UPDATE logs SET indexed = (SELECT id FROM indexed i WHERE i.owner = logs.owner AND i.log = logs.name);
DROP TABLE indexed;

DROP INDEX archive_once;
DROP INDEX archive_by_peer;
ALTER TABLE archive RENAME TO archive_before;
CREATE TABLE archive (
    place INTEGER PRIMARY KEY,
    log INTEGER NOT NULL,
    id BLOB NOT NULL,          -- 16 bytes, most significant first
    at BIGINT NOT NULL,
    peer TEXT,
    peer_bare TEXT,
    unique_key BLOB,
    stanza BLOB NOT NULL
);
INSERT INTO archive (log, id, at, peer, peer_bare, unique_key, stanza)
SELECT number, id, at, peer, peer_bare, unique_key, stanza
FROM archive_before CROSS JOIN logs ON logs.owner = archive_before.owner AND logs.name = archive_before.log;
DROP TABLE archive_before;
CREATE UNIQUE INDEX archive_by_id ON archive (log, id);
CREATE UNIQUE INDEX archive_once ON archive (log, unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX archive_by_peer ON archive (log, peer_bare, id);

ALTER TABLE words RENAME TO words_before;
CREATE TABLE words (
    log INTEGER NOT NULL,
    word TEXT NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (log, word, id)
) WITHOUT ROWID;
INSERT INTO words SELECT number, word, id
FROM words_before CROSS JOIN logs ON logs.owner = words_before.owner AND logs.name = words_before.log;
DROP TABLE words_before;
