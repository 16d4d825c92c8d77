SELECT number FROM todos WHERE number = ANY ($1)
