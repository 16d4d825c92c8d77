SELECT
    pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean,
    todos IS NOT NULL,
    array_remove(ARRAY[
        CASE WHEN has_table_privilege(todos, 'SELECT') THEN NULL ELSE 'SELECT' END,
        CASE WHEN has_table_privilege(todos, 'INSERT') THEN NULL ELSE 'INSERT' END,
        CASE WHEN has_table_privilege(todos, 'UPDATE') THEN NULL ELSE 'UPDATE' END,
        CASE WHEN has_table_privilege(todos, 'DELETE') THEN NULL ELSE 'DELETE' END
    ], NULL)
FROM (SELECT to_regclass('todos')::oid AS todos) AS found
