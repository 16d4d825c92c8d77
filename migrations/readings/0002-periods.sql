-- Totals of all sensors by periods. They are counted at the start that follows: -1 says that nothing is counted yet. No checksum of a row
-- changes here, so damage from before this migration is still found after it.
CREATE TABLE periods (
        key INTEGER PRIMARY KEY,
        data BLOB NOT NULL
    ) STRICT;

ALTER TABLE chunks RENAME TO chunks_before;
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
        sealed_through INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (sensor, first)
    ) STRICT, WITHOUT ROWID;
INSERT INTO chunks
    SELECT sensor, first, last, count, sum, minimum, maximum, latest, data, 0 AS sealed_through, checksum FROM chunks_before;
DROP TABLE chunks_before;

ALTER TABLE ledger RENAME TO ledger_before;
CREATE TABLE ledger (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        generation INTEGER NOT NULL,
        log_sealed INTEGER NOT NULL,
        chunks INTEGER NOT NULL,
        chunk_checksums INTEGER NOT NULL,
        counted_through INTEGER NOT NULL,
        folding_mark INTEGER NOT NULL,
        folding_before INTEGER NOT NULL,
        day_rows INTEGER NOT NULL,
        day_checksums INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    ) STRICT;
INSERT INTO ledger
    SELECT id, generation, log_sealed, chunks, chunk_checksums, -1 AS counted_through, -1 AS folding_mark, 0 AS folding_before,
        0 AS day_rows, 0 AS day_checksums, checksum
    FROM ledger_before;
DROP TABLE ledger_before;
