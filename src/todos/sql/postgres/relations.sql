-- The relations with a name that the tables of todos need: kind, owner and columns.
SELECT
    relname::text,
    relkind::text,
    pg_get_userbyid(relowner)::text,
    pg_has_role(relowner, 'USAGE'),
    ARRAY(
        SELECT attname::text || ' ' || format_type(atttypid, NULL) FROM pg_attribute
        WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum
    ),
    coalesce((
        SELECT tables.relname::text FROM pg_index JOIN pg_class AS tables ON tables.oid = indrelid
        WHERE indexrelid = pg_class.oid
    ), ''),
    CASE WHEN relkind IN ('r', 'p', 'v', 'm', 'f') THEN array_remove(ARRAY[
        CASE WHEN has_table_privilege(pg_class.oid, 'SELECT') THEN NULL ELSE 'SELECT' END,
        CASE WHEN has_table_privilege(pg_class.oid, 'INSERT') THEN NULL ELSE 'INSERT' END,
        CASE WHEN has_table_privilege(pg_class.oid, 'UPDATE') THEN NULL ELSE 'UPDATE' END,
        CASE WHEN has_table_privilege(pg_class.oid, 'DELETE') THEN NULL ELSE 'DELETE' END
    ], NULL) ELSE ARRAY[]::text[] END
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = $1 AND relname = ANY ($2)
UNION ALL
SELECT typname::text, 'type', pg_get_userbyid(typowner)::text, pg_has_role(typowner, 'USAGE'), ARRAY[]::text[], '', ARRAY[]::text[]
FROM pg_type JOIN pg_namespace ON pg_namespace.oid = typnamespace
WHERE nspname = $1 AND typname = ANY ($2) AND typrelid = 0 AND typelem = 0
