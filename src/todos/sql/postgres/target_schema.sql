-- The schema of the tables, and the rights of this user in the schema.
SELECT
    place.name,
    space.oid IS NOT NULL,
    coalesce(has_schema_privilege(space.oid, 'USAGE'), false),
    coalesce(has_schema_privilege(space.oid, 'CREATE'), false),
    has_database_privilege(current_database(), 'CREATE'),
    current_user::text,
    current_database()::text,
    current_setting('server_encoding'),
    pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean
FROM (
    SELECT coalesce(
        $1,
        (SELECT nspname::text FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
         WHERE pg_class.oid = to_regclass('fieldstation_migrations')),
        current_schema()::text
    ) AS name
) AS place
LEFT JOIN pg_namespace AS space ON space.nspname = place.name
