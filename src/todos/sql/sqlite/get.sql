SELECT id, title, description, deadline, status, created_at, updated_at
FROM todos WHERE id = ?1
