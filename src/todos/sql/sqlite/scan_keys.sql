-- The keys of all todos of a range, in order. The index alone answers this query.
SELECT key FROM todos
WHERE (deadline, created_at, title, id) > (?1, ?2, ?3, ?4) AND deadline <= ?5
ORDER BY todos.deadline, todos.created_at, todos.title, todos.id
