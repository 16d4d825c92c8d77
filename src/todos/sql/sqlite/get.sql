SELECT id, title, description, deadline, status, created_at, updated_at,
    check_row(checksum, computed, 'the todo', id)
FROM todos_checked AS todos WHERE id = ?1
