SELECT id, title, description, deadline, status, created_at, updated_at, number,
    check_row(checksum, computed, 'the todo', id)
FROM todos_checked AS todos WHERE number >= ?1
ORDER BY todos.number
LIMIT ?2
