SELECT id::text, title, description, deadline, status, created_at, updated_at
FROM todos
WHERE (deadline, created_at, title, id) > ($1, $2, $3, $4::uuid) AND deadline <= $5
    AND status = $7
    AND (title_folded LIKE $8 OR description_folded LIKE $8)
ORDER BY todos.deadline, todos.created_at, todos.title, todos.id
LIMIT $6
