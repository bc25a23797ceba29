SELECT name FROM logs
WHERE owner = $1 AND EXISTS (SELECT 1 FROM archive WHERE log = number)
ORDER BY name
