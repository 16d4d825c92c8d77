-- The greeting: one row, which is there once somebody has changed the word.
CREATE TABLE greeting (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    word TEXT NOT NULL CHECK (length(word) BETWEEN 1 AND 200)
) STRICT;
