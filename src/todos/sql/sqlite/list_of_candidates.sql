-- The plus signs keep the planner from walking an index in order: these few are looked up, and sorted.
SELECT id, title, description, deadline, status, created_at, updated_at
FROM todos
WHERE key IN (SELECT value FROM json_each(?9))
    AND (+deadline, +created_at, +title, +id) > (?1, ?2, ?3, ?4) AND +deadline <= ?5
    AND (?7 IS NULL OR +status = ?7)
    AND (instr(title_folded, ?8) > 0 OR instr(description_folded, ?8) > 0)
ORDER BY +deadline, +created_at, +title, +id
LIMIT ?6
