-- While the lock is held, no other statement assigns a number. So no number is assigned twice.
SELECT setval(sequence.name, $1)
FROM (SELECT pg_get_serial_sequence('todos', 'number')::regclass AS name) AS sequence
WHERE $1 > coalesce(pg_sequence_last_value(sequence.name), 268435455)
