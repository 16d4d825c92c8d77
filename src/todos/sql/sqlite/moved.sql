SELECT version, origin FROM todos_moved WHERE id = ?1
