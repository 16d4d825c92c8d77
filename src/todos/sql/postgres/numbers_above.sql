-- Nobody is given a number while the lock is held, so none is given twice.
SELECT setval(sequence.name, $1)
FROM (SELECT pg_get_serial_sequence('todos', 'number')::regclass AS name) AS sequence
WHERE $1 > coalesce(pg_sequence_last_value(sequence.name), 268435455)
