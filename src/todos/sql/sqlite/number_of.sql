SELECT number FROM todos WHERE id = ?1
