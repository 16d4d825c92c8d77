-- A flipped bit shows: every row has a checksum, and the ledger says how many rows a table has and what their checksums add up
-- to, so that a row that vanished shows too.
--
-- Triggers keep both, with functions that this program gives to its connections (src/sqlite/checksums.rs). A program without
-- them can read the tables, and cannot write to them. A row that is inserted has 0 for a moment, until its trigger has run.
CREATE TABLE ledger (
    table_name TEXT    NOT NULL PRIMARY KEY,
    row_count  INTEGER NOT NULL,
    -- The wrapping sum of all checksums.
    checksums  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO ledger VALUES ('todos', 0, 0), ('todo_numbers', 0, 0), ('todos_moved', 0, 0), ('files', 0, 0), ('greeting', 0, 0);

ALTER TABLE todos ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE todo_numbers ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE todos_moved ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE files ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE greeting ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;

-- The rows with the checksums that they should have.
CREATE VIEW todos_checked AS
SELECT *, row_checksum(
    'todos', key, id, title, title_folded, description, description_folded, deadline, status, created_at, updated_at, number
) AS computed FROM todos;

CREATE VIEW todo_numbers_checked AS
SELECT *, row_checksum('todo_numbers', only, last) AS computed FROM todo_numbers;

CREATE VIEW todos_moved_checked AS
SELECT *, row_checksum('todos_moved', id, version, origin) AS computed FROM todos_moved;

CREATE VIEW files_checked AS
SELECT *, row_checksum('files', device, blob, size_bytes, content_type, name, sha256, time_micros) AS computed FROM files;

CREATE VIEW greeting_checked AS
SELECT *, row_checksum('greeting', id, word) AS computed FROM greeting;

-- The ledger follows the checksums.
CREATE TRIGGER todos_entered AFTER INSERT ON todos BEGIN
    UPDATE ledger SET row_count = row_count + 1, checksums = checksums_with(checksums, new.checksum, 0)
    WHERE table_name = 'todos';
END;
CREATE TRIGGER todos_struck AFTER DELETE ON todos BEGIN
    UPDATE ledger SET row_count = row_count - 1, checksums = checksums_with(checksums, 0, old.checksum)
    WHERE table_name = 'todos';
END;
CREATE TRIGGER todos_corrected AFTER UPDATE OF checksum ON todos BEGIN
    UPDATE ledger SET checksums = checksums_with(checksums, new.checksum, old.checksum)
    WHERE table_name = 'todos';
END;

CREATE TRIGGER todo_numbers_entered AFTER INSERT ON todo_numbers BEGIN
    UPDATE ledger SET row_count = row_count + 1, checksums = checksums_with(checksums, new.checksum, 0)
    WHERE table_name = 'todo_numbers';
END;
CREATE TRIGGER todo_numbers_struck AFTER DELETE ON todo_numbers BEGIN
    UPDATE ledger SET row_count = row_count - 1, checksums = checksums_with(checksums, 0, old.checksum)
    WHERE table_name = 'todo_numbers';
END;
CREATE TRIGGER todo_numbers_corrected AFTER UPDATE OF checksum ON todo_numbers BEGIN
    UPDATE ledger SET checksums = checksums_with(checksums, new.checksum, old.checksum)
    WHERE table_name = 'todo_numbers';
END;

CREATE TRIGGER todos_moved_entered AFTER INSERT ON todos_moved BEGIN
    UPDATE ledger SET row_count = row_count + 1, checksums = checksums_with(checksums, new.checksum, 0)
    WHERE table_name = 'todos_moved';
END;
CREATE TRIGGER todos_moved_struck AFTER DELETE ON todos_moved BEGIN
    UPDATE ledger SET row_count = row_count - 1, checksums = checksums_with(checksums, 0, old.checksum)
    WHERE table_name = 'todos_moved';
END;
CREATE TRIGGER todos_moved_corrected AFTER UPDATE OF checksum ON todos_moved BEGIN
    UPDATE ledger SET checksums = checksums_with(checksums, new.checksum, old.checksum)
    WHERE table_name = 'todos_moved';
END;

CREATE TRIGGER files_entered AFTER INSERT ON files BEGIN
    UPDATE ledger SET row_count = row_count + 1, checksums = checksums_with(checksums, new.checksum, 0)
    WHERE table_name = 'files';
END;
CREATE TRIGGER files_struck AFTER DELETE ON files BEGIN
    UPDATE ledger SET row_count = row_count - 1, checksums = checksums_with(checksums, 0, old.checksum)
    WHERE table_name = 'files';
END;
CREATE TRIGGER files_corrected AFTER UPDATE OF checksum ON files BEGIN
    UPDATE ledger SET checksums = checksums_with(checksums, new.checksum, old.checksum)
    WHERE table_name = 'files';
END;

CREATE TRIGGER greeting_entered AFTER INSERT ON greeting BEGIN
    UPDATE ledger SET row_count = row_count + 1, checksums = checksums_with(checksums, new.checksum, 0)
    WHERE table_name = 'greeting';
END;
CREATE TRIGGER greeting_struck AFTER DELETE ON greeting BEGIN
    UPDATE ledger SET row_count = row_count - 1, checksums = checksums_with(checksums, 0, old.checksum)
    WHERE table_name = 'greeting';
END;
CREATE TRIGGER greeting_corrected AFTER UPDATE OF checksum ON greeting BEGIN
    UPDATE ledger SET checksums = checksums_with(checksums, new.checksum, old.checksum)
    WHERE table_name = 'greeting';
END;

-- What older versions have written gets its checksums.
UPDATE ledger SET row_count = (SELECT count(*) FROM todos) WHERE table_name = 'todos';
UPDATE ledger SET row_count = (SELECT count(*) FROM todo_numbers) WHERE table_name = 'todo_numbers';
UPDATE ledger SET row_count = (SELECT count(*) FROM todos_moved) WHERE table_name = 'todos_moved';
UPDATE ledger SET row_count = (SELECT count(*) FROM files) WHERE table_name = 'files';
UPDATE ledger SET row_count = (SELECT count(*) FROM greeting) WHERE table_name = 'greeting';
UPDATE todos SET checksum = (SELECT computed FROM todos_checked AS checked WHERE checked.key = todos.key);
UPDATE todo_numbers SET checksum = (SELECT computed FROM todo_numbers_checked AS checked WHERE checked.only = todo_numbers.only);
UPDATE todos_moved SET checksum = (SELECT computed FROM todos_moved_checked AS checked WHERE checked.id = todos_moved.id);
UPDATE files SET checksum = (SELECT computed FROM files_checked AS checked WHERE checked.device = files.device);
UPDATE greeting SET checksum = (SELECT computed FROM greeting_checked AS checked WHERE checked.id = greeting.id);

-- The checksums follow the rows.
CREATE TRIGGER todos_inserted_checksum AFTER INSERT ON todos BEGIN
    UPDATE todos SET checksum = (SELECT computed FROM todos_checked WHERE key = new.key) WHERE key = new.key;
END;
CREATE TRIGGER todos_updated_checksum AFTER UPDATE OF key, id, title, title_folded, description, description_folded, 
    deadline, status, created_at, updated_at, number ON todos BEGIN
    UPDATE todos SET checksum = (SELECT computed FROM todos_checked WHERE key = new.key) WHERE key = new.key;
END;

CREATE TRIGGER todo_numbers_inserted_checksum AFTER INSERT ON todo_numbers BEGIN
    UPDATE todo_numbers SET checksum = (SELECT computed FROM todo_numbers_checked WHERE only = new.only) WHERE only = new.only;
END;
CREATE TRIGGER todo_numbers_updated_checksum AFTER UPDATE OF only, last ON todo_numbers BEGIN
    UPDATE todo_numbers SET checksum = (SELECT computed FROM todo_numbers_checked WHERE only = new.only) WHERE only = new.only;
END;

CREATE TRIGGER todos_moved_inserted_checksum AFTER INSERT ON todos_moved BEGIN
    UPDATE todos_moved SET checksum = (SELECT computed FROM todos_moved_checked WHERE id = new.id) WHERE id = new.id;
END;
CREATE TRIGGER todos_moved_updated_checksum AFTER UPDATE OF id, version, origin ON todos_moved BEGIN
    UPDATE todos_moved SET checksum = (SELECT computed FROM todos_moved_checked WHERE id = new.id) WHERE id = new.id;
END;

CREATE TRIGGER files_inserted_checksum AFTER INSERT ON files BEGIN
    UPDATE files SET checksum = (SELECT computed FROM files_checked WHERE device = new.device) WHERE device = new.device;
END;
CREATE TRIGGER files_updated_checksum AFTER UPDATE OF device, blob, size_bytes, content_type, name, sha256, time_micros ON files BEGIN
    UPDATE files SET checksum = (SELECT computed FROM files_checked WHERE device = new.device) WHERE device = new.device;
END;

CREATE TRIGGER greeting_inserted_checksum AFTER INSERT ON greeting BEGIN
    UPDATE greeting SET checksum = (SELECT computed FROM greeting_checked WHERE id = new.id) WHERE id = new.id;
END;
CREATE TRIGGER greeting_updated_checksum AFTER UPDATE OF id, word ON greeting BEGIN
    UPDATE greeting SET checksum = (SELECT computed FROM greeting_checked WHERE id = new.id) WHERE id = new.id;
END;

-- A change of some columns keeps the others, and would give a damaged one a new checksum. One that is being inserted has no
-- number yet.
CREATE TRIGGER todos_sound BEFORE UPDATE OF id, title, title_folded, description, description_folded,
    deadline, status, created_at, updated_at, number ON todos
WHEN NOT (old.checksum = 0 AND old.number IS NULL) BEGIN
    SELECT check_row(checksum, computed, 'the todo', id) FROM todos_checked WHERE key = old.key;
END;
CREATE TRIGGER todo_numbers_sound BEFORE UPDATE OF only, last ON todo_numbers BEGIN
    SELECT check_row(checksum, computed, 'the last number of a todo,', last) FROM todo_numbers_checked;
END;
