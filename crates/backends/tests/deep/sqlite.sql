-- A million entries, one each second.
BEGIN;
INSERT INTO logs (owner, name) VALUES ('romeo@montague.example', 'archive');
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000000),
parties AS (
    SELECT n, CASE WHEN n % 2 = 0 THEN 'juliet@capulet.example'
                   WHEN n % 1000 = 1 THEN 'nurse@capulet.example'
                   ELSE 'guest' || n % 1999 || '@capulet.example' END AS peer
    FROM numbers
)
INSERT INTO archive (log, id, at, peer, peer_bare, stanza)
SELECT (SELECT number FROM logs), unhex(printf('%016x%016x', n * 1000000, n)), n * 1000000,
       peer || CASE WHEN n % 4 = 0 THEN '/balcony' ELSE '/garden' END, peer,
       CAST('<message type=''chat''><body>Good night, good night! Parting is number ' || n || '</body></message>' AS BLOB)
FROM parties;
COMMIT;
