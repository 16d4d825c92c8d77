SELECT id, title, description, deadline, status, created_at, updated_at
FROM todos
WHERE key = ?1 AND (instr(title_folded, ?2) > 0 OR instr(description_folded, ?2) > 0)
