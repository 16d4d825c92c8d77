-- `sensors` and `log` belong to each commit, the other tables to sealing. The metadata of chunks is apart from their data, so that a
-- sensor's chunks lie side by side, few bytes each, and a window is a short scan.
--
-- The text of each table is compared with that in the file, blanks included.
CREATE TABLE sensors (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        checksum INTEGER NOT NULL
    ) STRICT;

CREATE TABLE log (
        sequence INTEGER PRIMARY KEY,
        data BLOB NOT NULL
    ) STRICT;

CREATE TABLE chunks (
        sensor INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        count INTEGER NOT NULL,
        sum INTEGER NOT NULL,
        minimum INTEGER NOT NULL,
        maximum INTEGER NOT NULL,
        latest INTEGER NOT NULL,
        data INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (sensor, first)
    ) STRICT, WITHOUT ROWID;

CREATE TABLE chunk_data (
        id INTEGER PRIMARY KEY,
        data BLOB NOT NULL
    ) STRICT;

CREATE TABLE ledger (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        generation INTEGER NOT NULL,
        log_sealed INTEGER NOT NULL,
        chunks INTEGER NOT NULL,
        chunk_checksums INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    ) STRICT;
