-- Every todo from a place on, in order: the index alone answers this.
SELECT key FROM todos
WHERE (deadline, created_at, title, id) > (?1, ?2, ?3, ?4) AND deadline <= ?5
ORDER BY todos.deadline, todos.created_at, todos.title, todos.id
