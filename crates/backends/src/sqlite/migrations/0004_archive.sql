-- Long archives: a page of what was said with one party is read from an index of its own. The words of what was said are indexed for those
-- who search, when they do; each log as far as `indexed` says.
CREATE INDEX archive_by_peer ON archive (owner, log, peer_bare, id);

CREATE TABLE words (
    owner TEXT NOT NULL,
    log TEXT NOT NULL,
    word TEXT NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (owner, log, word, id)
) WITHOUT ROWID;

CREATE TABLE indexed (
    owner TEXT NOT NULL,
    log TEXT NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (owner, log)
) WITHOUT ROWID;
