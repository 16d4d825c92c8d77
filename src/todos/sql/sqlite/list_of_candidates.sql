-- The plus signs keep the planner from scanning an index in order: the few candidates are looked up and sorted. The checksum of
-- each candidate is checked before the text decides.
SELECT id, title, description, deadline, status, created_at, updated_at
FROM todos_checked
WHERE key IN (SELECT value FROM json_each(?9))
    AND CASE WHEN check_row(checksum, computed, 'the todo', id) THEN
        (deadline, created_at, title, id) > (?1, ?2, ?3, ?4) AND deadline <= ?5
        AND (?7 IS NULL OR status = ?7)
        AND (instr(title_folded, ?8) > 0 OR instr(description_folded, ?8) > 0)
    END
ORDER BY +deadline, +created_at, +title, +id
LIMIT ?6
