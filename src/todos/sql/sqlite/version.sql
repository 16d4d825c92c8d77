SELECT updated_at FROM todos WHERE id = ?1
