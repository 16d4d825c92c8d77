SELECT id, title, description, deadline, status, created_at, updated_at, number,
    check_row(checksum, computed, 'the todo', id)
FROM todos_checked AS todos WHERE id IN (SELECT value FROM json_each(?1))
