SELECT id, title, description, deadline, status, created_at, updated_at
FROM todos_checked
WHERE key = ?1
    AND CASE WHEN check_row(checksum, computed, 'the todo', id) THEN
        instr(title_folded, ?2) > 0 OR instr(description_folded, ?2) > 0
    END
