SELECT id::text FROM todos WHERE number = $1
