SELECT count(*) FROM todos
