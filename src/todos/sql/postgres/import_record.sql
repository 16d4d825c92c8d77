SELECT id::text, version, origin FROM todos_moved WHERE id = ANY ($1::text[]::uuid[])
