-- One row per device: which blob below files/ is its file. That a row is there is what makes a file visible, so a row names
-- only blobs that are complete and on the disk.
CREATE TABLE files (
    device TEXT NOT NULL PRIMARY KEY,
    blob TEXT NOT NULL UNIQUE,
    size_bytes INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    name TEXT,
    sha256 BLOB NOT NULL,
    -- Microseconds since 1970.
    time_micros INTEGER NOT NULL
) STRICT;
