INSERT INTO todos_moved (id, version, origin) VALUES (?1, ?2, ?3)
ON CONFLICT (id) DO UPDATE SET version = excluded.version, origin = excluded.origin
