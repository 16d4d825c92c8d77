SELECT version, origin, check_row(checksum, computed, 'what was moved of the todo', id)
FROM todos_moved_checked WHERE id = ?1
