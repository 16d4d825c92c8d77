SELECT id, check_row(checksum, computed, 'the todo', id) FROM todos_checked WHERE number = ?1
