-- A number for each todo, beside its id.
--
-- Todos that come from a program that numbered them keep their numbers, which have 28 bits at most. Those made here get the
-- numbers above, none of them twice, also not after the todo is removed: the last one that was given is kept here.
CREATE TABLE todo_numbers (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    last INTEGER NOT NULL
) STRICT;
INSERT INTO todo_numbers VALUES (1, 268435455);

ALTER TABLE todos ADD COLUMN number INTEGER;
UPDATE todos SET number = 268435455 + place
FROM (SELECT key, row_number() OVER (ORDER BY created_at, key) AS place FROM todos) AS places
WHERE places.key = todos.key;
UPDATE todo_numbers SET last = 268435455 + (SELECT count(*) FROM todos);

CREATE UNIQUE INDEX todos_by_number ON todos (number);

CREATE TRIGGER todos_numbered AFTER INSERT ON todos WHEN new.number IS NULL BEGIN
    UPDATE todo_numbers SET last = last + 1;
    UPDATE todos SET number = (SELECT last FROM todo_numbers) WHERE key = new.key;
END;

-- One that brings a number of that range along.
CREATE TRIGGER todos_with_number AFTER INSERT ON todos WHEN new.number IS NOT NULL BEGIN
    UPDATE todo_numbers SET last = max(last, new.number);
END;

-- What came from another store: in which version, and from which store. Tells a change made here from one made there, and a
-- todo that was removed here from one that never came.
CREATE TABLE todos_moved (
    id      TEXT    PRIMARY KEY,
    version INTEGER NOT NULL,
    origin  TEXT    NOT NULL
) STRICT;
