-- Short texts are found as fast as long ones.
--
-- The index knows sequences of three characters. So that one or two characters are the beginning of such a sequence wherever
-- they stand, two more (U+0001) are thought of at the end of each text; the tables are the same otherwise.
DROP TRIGGER todos_inserted;
DROP TRIGGER todos_deleted;
DROP TRIGGER todos_updated;
DROP TABLE todos_trigrams;

CREATE VIEW todos_texts AS
SELECT key, title_folded || char(1, 1) AS title, description_folded || char(1, 1) AS description FROM todos;

CREATE VIRTUAL TABLE todos_trigrams USING fts5 (
    title, description,
    content = 'todos_texts', content_rowid = 'key', tokenize = 'trigram case_sensitive 1', detail = 'none', columnsize = 0
);

INSERT INTO todos_trigrams (todos_trigrams) VALUES ('rebuild');

-- Every sequence with the todos that have it, in order: what begins with some characters is one range.
CREATE VIRTUAL TABLE todos_trigram_places USING fts5vocab (todos_trigrams, instance);

CREATE TRIGGER todos_inserted AFTER INSERT ON todos BEGIN
    INSERT INTO todos_trigrams (rowid, title, description)
    VALUES (new.key, new.title_folded || char(1, 1), new.description_folded || char(1, 1));
END;

CREATE TRIGGER todos_deleted AFTER DELETE ON todos BEGIN
    INSERT INTO todos_trigrams (todos_trigrams, rowid, title, description)
    VALUES ('delete', old.key, old.title_folded || char(1, 1), old.description_folded || char(1, 1));
END;

-- Most changes are of a status and leave the texts alone.
CREATE TRIGGER todos_updated AFTER UPDATE OF title_folded, description_folded ON todos
WHEN old.title_folded <> new.title_folded OR old.description_folded <> new.description_folded BEGIN
    INSERT INTO todos_trigrams (todos_trigrams, rowid, title, description)
    VALUES ('delete', old.key, old.title_folded || char(1, 1), old.description_folded || char(1, 1));
    INSERT INTO todos_trigrams (rowid, title, description)
    VALUES (new.key, new.title_folded || char(1, 1), new.description_folded || char(1, 1));
END;
