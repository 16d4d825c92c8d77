-- Todos.
--
-- Times are microseconds since 1970-01-01T00:00:00Z. A todo without a deadline has 9223372036854775807 there, later than
-- every moment, so that it comes last in every index and one comparison of rows finds where a page begins.
--
-- The folded columns are the texts in lower case: what the filter by text looks at. SQLite's own LIKE knows the case of
-- ASCII letters only.
CREATE TABLE todos (
    key                INTEGER PRIMARY KEY,
    id                 TEXT    NOT NULL UNIQUE,
    title              TEXT    NOT NULL,
    title_folded       TEXT    NOT NULL,
    description        TEXT    NOT NULL,
    description_folded TEXT    NOT NULL,
    deadline           INTEGER NOT NULL,
    status             TEXT    NOT NULL CHECK (status IN ('pending', 'in progress', 'completed')),
    created_at         INTEGER NOT NULL,
    -- Later with every change: the name of the version.
    updated_at         INTEGER NOT NULL
) STRICT;

-- The order of the list: a page is a walk from where the last one ended, and a window of deadlines is a part of that walk.
CREATE INDEX todos_in_order ON todos (deadline, created_at, title, id);

-- The same walk among the todos of one status, so that a few open ones among many completed are found at once.
CREATE INDEX todos_of_status ON todos (status, deadline, created_at, title, id);

-- Which todos have three characters in a row, wherever in their texts. What is found is looked at again (`detail` is left
-- out, so it knows of sequences, not of places); it keeps a rare word from being looked for in every todo.
CREATE VIRTUAL TABLE todos_trigrams USING fts5 (
    title_folded, description_folded,
    content = 'todos', content_rowid = 'key', tokenize = 'trigram case_sensitive 1', detail = 'none', columnsize = 0
);

CREATE TRIGGER todos_inserted AFTER INSERT ON todos BEGIN
    INSERT INTO todos_trigrams (rowid, title_folded, description_folded)
    VALUES (new.key, new.title_folded, new.description_folded);
END;

CREATE TRIGGER todos_deleted AFTER DELETE ON todos BEGIN
    INSERT INTO todos_trigrams (todos_trigrams, rowid, title_folded, description_folded)
    VALUES ('delete', old.key, old.title_folded, old.description_folded);
END;

-- Most changes are of a status and leave the texts alone.
CREATE TRIGGER todos_updated AFTER UPDATE OF title_folded, description_folded ON todos
WHEN old.title_folded <> new.title_folded OR old.description_folded <> new.description_folded BEGIN
    INSERT INTO todos_trigrams (todos_trigrams, rowid, title_folded, description_folded)
    VALUES ('delete', old.key, old.title_folded, old.description_folded);
    INSERT INTO todos_trigrams (rowid, title_folded, description_folded)
    VALUES (new.key, new.title_folded, new.description_folded);
END;
