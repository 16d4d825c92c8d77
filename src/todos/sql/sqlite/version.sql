SELECT updated_at, check_row(checksum, computed, 'the todo', id) FROM todos_checked WHERE id = ?1
