-- As scan_keys.sql, for the todos of one status.
SELECT key FROM todos
WHERE (deadline, created_at, title, id) > (?1, ?2, ?3, ?4) AND deadline <= ?5
    AND status = ?6
ORDER BY todos.deadline, todos.created_at, todos.title, todos.id
