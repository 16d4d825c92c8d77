SELECT id, title, description, deadline, status, created_at, updated_at, number
FROM todos WHERE id IN (SELECT value FROM json_each(?1))
