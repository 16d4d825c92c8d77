-- The table that a server would use comes first.
SELECT nspname::text, coalesce(pg_class.oid = to_regclass('todos'), false)
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relname = 'todos' AND relkind IN ('r', 'p') AND nspname !~ '^pg_' AND ($1::text IS NULL OR nspname = $1)
ORDER BY 2 DESC, 1
