SELECT id FROM todos WHERE number = ?1
