SELECT number FROM todos WHERE id = $1::uuid
