INSERT INTO todos_moved (id, version, origin)
SELECT id::uuid, version, $3 FROM unnest($1::text[], $2::bigint[]) AS came (id, version)
ON CONFLICT (id) DO UPDATE SET version = excluded.version, origin = excluded.origin
