//! Reads a database without changing or creating a file: on a read-only medium, or on a full disk.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use url::Url;

use super::query_error;
use crate::error::{StoreError, StoreErrorKind};

/// Whether a database can be read without creating a file, while no process has the database open. The answer is no if the write-ahead log
/// is not empty and the index of the log (the file with `-shm`) is missing, because SQLite would create the index.
pub(crate) fn can_open_untouched(path: &Path) -> bool {
    path.is_file() && (!has_log(path) || beside(path, "-shm").is_file())
}

/// Opens a database for reads. No process may write to the database meanwhile.
///
/// # Errors
/// [`StoreErrorKind::Unavailable`] when the file is missing, or cannot be read without creating a file.
pub(crate) fn open_untouched(path: &Path) -> Result<Connection, StoreError> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let unavailable = |message| Err(StoreError::new(StoreErrorKind::Unavailable, message));
    if !path.is_file() {
        return unavailable(format!("there is no {}", path.display()));
    }
    if !can_open_untouched(path) {
        return unavailable(format!(
            "{} cannot be read as it is: {name}-wal holds writes that are not in {name} yet, and {name}-shm, which tells where, is \
             missing. Copy the directory to where it can be written to, and open the copy without --read-only",
            path.display()
        ));
    }
    // Without a log, SQLite reads only the file and takes no lock. With a log, SQLite reads the index of the log and does not change the
    // index.
    let how = if has_log(path) {
        "mode=ro&readonly_shm=1"
    } else {
        "immutable=1"
    };
    let address = std::path::absolute(path)
        .ok()
        .and_then(|path| Url::from_file_path(path).ok());
    let Some(mut address) = address else {
        return unavailable(format!("{} has no absolute path", path.display()));
    };
    address.set_query(Some(how));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(address.as_str(), flags)
        .map_err(|error| query_error(name, &format!("open {name}"), error))
}

fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn count(path: &Path) -> i64 {
        let connection = open_untouched(path).unwrap();
        connection
            .query_row("SELECT count(*) FROM words", [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn what_is_read_untouched_is_all_that_was_committed_and_no_file_is_made() {
        let directory = tempfile::tempdir().unwrap();
        // A name with special characters of URLs.
        let path = directory.path().join("a?b #c%41.db");
        let writer = Connection::open(&path).unwrap();
        writer
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE words (word TEXT); INSERT INTO words VALUES ('one');
                 PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO words VALUES ('two')",
            )
            .unwrap();
        // The files after the end of a killed process.
        let copied = directory.path().join("killed");
        fs::create_dir(&copied).unwrap();
        for suffix in ["", "-wal", "-shm"] {
            let to = beside(&copied.join("words.db"), suffix);
            fs::copy(beside(&path, suffix), to).unwrap();
        }
        let killed = copied.join("words.db");
        let shared_memory = fs::read(beside(&killed, "-shm")).unwrap();
        assert_eq!((count(&killed), names(&copied).len()), (2, 3));
        assert_eq!(fs::read(beside(&killed, "-shm")).unwrap(), shared_memory);
        fs::remove_file(beside(&killed, "-shm")).unwrap();
        let error = open_untouched(&killed).unwrap_err();
        assert!(error.message().contains("words.db-shm"), "{error}");
        // The files after the database was closed.
        writer.close().unwrap();
        assert_eq!(names(directory.path()), ["a?b #c%41.db", "killed"]);
        assert_eq!((count(&path), names(directory.path()).len()), (2, 2));
    }
}
