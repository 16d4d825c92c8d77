DELETE FROM todos
WHERE id = ?1 AND (?2 IS NULL OR updated_at IN (SELECT value FROM json_each(?2)))
