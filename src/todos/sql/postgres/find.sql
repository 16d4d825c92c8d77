SELECT id::text, title, description, deadline, status, created_at, updated_at, number
FROM todos WHERE id = ANY ($1::text[]::uuid[])
