-- A million entries, one each second.
INSERT INTO archive (owner, log, id, at, peer, peer_bare, stanza)
SELECT 'romeo@montague.example', 'archive',
       decode(lpad(to_hex(n * 1000000), 16, '0') || lpad(to_hex(n), 16, '0'), 'hex'), n * 1000000,
       peer || CASE WHEN n % 4 = 0 THEN '/balcony' ELSE '/garden' END, peer,
       convert_to('<message type=''chat''><body>Good night, good night! Parting is number ' || n || '</body></message>', 'UTF8')
FROM (
    SELECT n, CASE WHEN n % 2 = 0 THEN 'juliet@capulet.example'
                   WHEN n % 1000 = 1 THEN 'nurse@capulet.example'
                   ELSE 'guest' || n % 1999 || '@capulet.example' END AS peer
    FROM generate_series(1::BIGINT, 1000000) AS n
) AS parties;
