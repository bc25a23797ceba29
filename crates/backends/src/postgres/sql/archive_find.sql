SELECT a.owner, a.log, a.unique_key, a.id
FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BYTEA[]) AS k (owner, log, unique_key)
JOIN archive a ON a.owner = k.owner AND a.log = k.log AND a.unique_key = k.unique_key
