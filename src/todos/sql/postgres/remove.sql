DELETE FROM todos
WHERE id = $1::uuid AND ($2::bigint[] IS NULL OR updated_at = ANY ($2))
RETURNING true
