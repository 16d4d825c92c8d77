SELECT id::text, title, description, deadline, status, created_at, updated_at, number
FROM todos WHERE number >= $1
ORDER BY todos.number
LIMIT $2
