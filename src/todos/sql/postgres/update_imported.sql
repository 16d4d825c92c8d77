UPDATE todos SET
    title = $2, title_folded = $3, description = $4, description_folded = $5, deadline = $6, status = $7, created_at = $8,
    updated_at = $9
WHERE id = $1::uuid AND updated_at = $10
RETURNING true
