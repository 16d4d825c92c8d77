-- As scan_texts.sql, for the todos of one status.
SELECT id, title, description, deadline, status, created_at, updated_at,
    instr(title_folded, ?6) > 0 OR instr(description_folded, ?6) > 0,
    check_row(checksum, computed, 'the todo', id)
FROM todos_checked AS todos
WHERE (deadline, created_at, title, id) > (?1, ?2, ?3, ?4) AND deadline <= ?5
    AND status = ?7
ORDER BY todos.deadline, todos.created_at, todos.title, todos.id
