-- Todos.
--
-- Times are microseconds since 1970-01-01T00:00:00Z: to_timestamp(deadline / 1e6) shows one. A todo without a deadline has
-- 9223372036854775807 there, later than every moment, so that it comes last in every index and one comparison of rows finds
-- where a page begins.
--
-- The folded columns are the texts in lower case: what the filter by text looks at. They are made by the server, so that
-- they are the same whatever the locale of this database.
CREATE TABLE todos (
    id                 uuid   PRIMARY KEY,
    title              text   COLLATE "C" NOT NULL,
    title_folded       text   COLLATE "C" NOT NULL,
    description        text   COLLATE "C" NOT NULL,
    description_folded text   COLLATE "C" NOT NULL,
    deadline           bigint NOT NULL,
    status             text   COLLATE "C" NOT NULL CHECK (status IN ('pending', 'in progress', 'completed')),
    created_at         bigint NOT NULL,
    -- Later with every change: the name of the version.
    updated_at         bigint NOT NULL
);

-- The order of the list: a page is a walk from where the last one ended, and a window of deadlines is a part of that walk.
CREATE INDEX todos_in_order ON todos (deadline, created_at, title, id);

-- The same walk among the todos of one status, so that a few open ones among many completed are found at once.
CREATE INDEX todos_of_status ON todos (status, deadline, created_at, title, id);

-- Which todos have three characters in a row: keeps a rare word from being looked for in every todo. The extension comes
-- with PostgreSQL, but not every installation has it, and not every user may add it: then a filter by text reads all todos
-- that the other filters leave.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'without pg_trgm: %', SQLERRM;
END
$$;
DO $$
BEGIN
    CREATE INDEX todos_trigrams ON todos
    USING gin (title_folded gin_trgm_ops, description_folded gin_trgm_ops);
EXCEPTION WHEN undefined_object THEN
    RAISE NOTICE 'without an index for the filter by text: %', SQLERRM;
END
$$;
