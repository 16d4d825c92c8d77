UPDATE todos SET
    title = coalesce(?3, title),
    title_folded = coalesce(?4, title_folded),
    description = coalesce(?5, description),
    description_folded = coalesce(?6, description_folded),
    deadline = coalesce(?7, deadline),
    status = coalesce(?8, status),
    updated_at = max(?9, updated_at + 1)
WHERE id = ?1 AND (?2 IS NULL OR updated_at IN (SELECT value FROM json_each(?2)))
RETURNING id, title, description, deadline, status, created_at, updated_at
