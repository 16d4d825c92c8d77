//! Copies blobs for a copy of `station.db`, and checks copied blobs. A server may replace blobs meanwhile.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::DIRECTORY_NAME;
use super::blobs::is_name;
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::app_database;
use crate::storage::durable_file::{self, Content};
use crate::storage::sqlite;

/// How often a file is looked up again when a server replaced the file between the look-up and the opening.
const LOOKUPS_MAX: usize = 100;

const COLUMNS: &str = "device, blob, size_bytes, sha256, content_type, name, time_micros";

/// The total size of the files in a copy of `station.db`.
///
/// # Errors
/// When the copy cannot be read.
pub(crate) fn bytes_total(directory: &Path) -> Result<u64, StoreError> {
    app_database::open_copy(&directory.join(app_database::FILE_NAME))?
        .query_row("SELECT total(size_bytes) FROM files", [], |row| {
            row.get::<_, f64>(0)
        })
        .map(|bytes| bytes as u64)
        .map_err(query_error)
}

/// Copies the files that a copy of `station.db` names from the data directory to the directory of the copy. Checks the digest of
/// each file. Calls `copied` for each file with its name in the directory.
///
/// A server may have replaced or removed a file since `station.db` was copied. Then the row in the copy is replaced by the present
/// row. So the copy has every file, and a file may be a little newer than the copy of `station.db`.
///
/// # Errors
/// [`StoreErrorKind::Damaged`] names the device whose file is missing or damaged.
pub(crate) fn copy_blobs(
    data: &Path,
    directory: &Path,
    progress: &mut dyn FnMut(u64),
    copied: &mut dyn FnMut(String, Content),
) -> Result<(), StoreError> {
    let blobs = directory.join(DIRECTORY_NAME);
    fs::create_dir(&blobs).map_err(write_error)?;
    let mut copier = BlobCopier {
        data,
        directory,
        live: None,
        progress,
        copied,
    };
    let mut copy = app_database::open_copy(&directory.join(app_database::FILE_NAME))?;
    let mut changes = Vec::new();
    visit(&copy, "files", &mut |file| {
        changes.extend(copier.copy_current(&file)?);
        Ok(())
    })?;
    apply(&mut copy, &changes).map_err(query_error)?;
    durable_file::sync_directory(&blobs).map_err(write_error)
}

/// Checks that every file that a copy of `station.db` names exists. `content_of` returns the content of a file by its name.
///
/// # Errors
/// [`StoreErrorKind::Damaged`] names the first device whose file is missing or different.
pub(crate) fn check_blobs(
    directory: &Path,
    content_of: &dyn Fn(&str) -> Option<Content>,
) -> Result<(), StoreError> {
    let copy = app_database::open_copy(&directory.join(app_database::FILE_NAME))?;
    visit(
        &copy,
        "files",
        &mut |file| match content_of(&name_of(&file.blob)) {
            None => Err(file.missing()),
            Some(content) if content == file.content => Ok(()),
            Some(_) => Err(file.damaged()),
        },
    )
}

/// Whether a path in a data directory belongs to a blob.
pub(crate) fn is_blob(name: &str) -> bool {
    name.strip_prefix(DIRECTORY_NAME)
        .and_then(|name| name.strip_prefix('/'))
        .is_some_and(is_name)
}

/// The path of a blob in the data directory.
pub(super) fn name_of(blob: &str) -> String {
    format!("{DIRECTORY_NAME}/{blob}")
}

/// A row of `files`.
#[derive(Debug)]
pub(super) struct FileRow {
    pub(super) device: String,
    pub(super) blob: String,
    pub(super) content: Content,
    /// The unchanged values of the other columns.
    others: [Value; 3],
}

impl FileRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            device: row.get(0)?,
            blob: row.get(1)?,
            content: Content {
                bytes: row.get::<_, i64>(2)?.unsigned_abs(),
                sha256: row.get(3)?,
            },
            others: [row.get(4)?, row.get(5)?, row.get(6)?],
        })
    }

    pub(super) fn missing(&self) -> StoreError {
        self.error("is missing")
    }

    pub(super) fn damaged(&self) -> StoreError {
        self.error("is not what was stored: its digest or its length differs")
    }

    pub(super) fn error(&self, problem: &str) -> StoreError {
        StoreError::new(
            StoreErrorKind::Damaged,
            format!(
                "{}, the file of the device `{}`, {problem}; send the file again, or remove it",
                name_of(&self.blob),
                self.device
            ),
        )
    }
}

/// A change to a row of the copy.
#[derive(Debug)]
enum RowChange {
    Replaced(FileRow),
    Removed { device: String },
}

struct BlobCopier<'a> {
    data: &'a Path,
    directory: &'a Path,
    /// The database of the data directory, opened on first use.
    live: Option<Connection>,
    progress: &'a mut dyn FnMut(u64),
    copied: &'a mut dyn FnMut(String, Content),
}

impl BlobCopier<'_> {
    /// Copies a file, or the newer file of the same device. Returns the change for the row.
    fn copy_current(&mut self, file: &FileRow) -> Result<Option<RowChange>, StoreError> {
        if self.copy(file)? {
            return Ok(None);
        }
        let mut missing_blob = file.blob.clone();
        for _ in 0..LOOKUPS_MAX {
            let Some(newer) = self.find(&file.device)? else {
                let device = file.device.clone();
                return Ok(Some(RowChange::Removed { device }));
            };
            if newer.blob == missing_blob {
                // A server changes the row before it removes the blob, so this blob is lost.
                return Err(newer.missing());
            }
            if self.copy(&newer)? {
                return Ok(Some(RowChange::Replaced(newer)));
            }
            missing_blob = newer.blob;
        }
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!(
                "the file of the device `{}` is replaced faster than it can be copied; try again when less is sent",
                file.device
            ),
        ))
    }

    /// Copies a file. Returns whether the file existed.
    fn copy(&mut self, file: &FileRow) -> Result<bool, StoreError> {
        if !is_name(&file.blob) {
            return Err(file.missing());
        }
        let name = name_of(&file.blob);
        let mut source = match File::open(self.data.join(&name)) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(durable_file::io_error(&format!("read {name}"), error)),
        };
        let content = durable_file::copy(&mut source, &self.directory.join(&name), self.progress)
            .map_err(|error| durable_file::io_error(&format!("copy {name}"), error))?;
        if content != file.content {
            return Err(file.damaged());
        }
        (self.copied)(name, content);
        Ok(true)
    }

    fn find(&mut self, device: &str) -> Result<Option<FileRow>, StoreError> {
        let live = match self.live.take() {
            Some(live) => live,
            None => app_database::open_reader(&self.data.join(app_database::FILE_NAME))?,
        };
        // The copy computes a new checksum for the row. A damaged row must not get a new checksum.
        let rows = app_database::sound_rows(&live, "files")?;
        let sql = format!("SELECT {COLUMNS} FROM {rows} WHERE device = ?1");
        let found = live
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_row([device], FileRow::read).optional())
            .map_err(query_error);
        self.live = Some(live);
        found
    }
}

/// Calls `visit` for each row of `files`, or of a view with the same columns, in order of the devices.
pub(super) fn visit(
    connection: &Connection,
    rows: &str,
    visit: &mut dyn FnMut(FileRow) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {rows} ORDER BY device");
    let mut statement = connection.prepare(&sql).map_err(query_error)?;
    let files = statement
        .query_map([], FileRow::read)
        .map_err(query_error)?;
    for file in files {
        visit(file.map_err(query_error)?)?;
    }
    Ok(())
}

fn apply(copy: &mut Connection, changes: &[RowChange]) -> rusqlite::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let transaction = copy.transaction()?;
    for change in changes {
        match change {
            RowChange::Removed { device } => {
                transaction
                    .prepare_cached("DELETE FROM files WHERE device = ?1")?
                    .execute([device])?;
            }
            RowChange::Replaced(file) => {
                let [content_type, name, time] = &file.others;
                transaction
                    .prepare_cached(
                        "UPDATE files SET blob = ?2, size_bytes = ?3, sha256 = ?4, content_type = ?5, name = ?6, \
                         time_micros = ?7 WHERE device = ?1",
                    )?
                    .execute(params![
                        file.device,
                        file.blob,
                        file.content.bytes.cast_signed(),
                        file.content.sha256,
                        content_type,
                        name,
                        time
                    ])?;
            }
        }
    }
    transaction.commit()
}

pub(super) fn query_error(error: rusqlite::Error) -> StoreError {
    sqlite::query_error(app_database::FILE_NAME, "look up the files", error)
}

fn write_error(error: io::Error) -> StoreError {
    durable_file::io_error("write a copy of the files", error)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::files::folder::FolderStore;
    use crate::files::{Condition, ContentType, DeviceId, Digest, FileStore, NewFile};
    use crate::storage::app_database::AppDatabase;
    use crate::storage::data_directory::DataDirectory;
    use crate::timestamp::Timestamp;

    async fn send(store: &FolderStore, device: &str, bytes: &'static [u8]) {
        let mut upload = store.begin(&DeviceId::new(device).unwrap()).await.unwrap();
        upload.write(vec![Bytes::from(bytes)]).await.unwrap();
        let file = NewFile {
            size_bytes: bytes.len() as u64,
            content_type: ContentType::new("text/plain").unwrap(),
            name: None,
            digest: Digest(Sha256::digest(bytes).into()),
            time: Timestamp::now(),
        };
        upload.finish(file, Condition::default()).await.unwrap();
    }

    async fn wait_for_removal(data: &Path, blob: &str) {
        let path = data.join(name_of(blob));
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while path.exists() {
            assert!(std::time::Instant::now() < deadline, "{blob} stays");
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_file_that_changes_during_the_copy_is_copied_in_its_present_version() {
        let parent = tempfile::tempdir().unwrap();
        let [data, copy] = ["data", "copy"].map(|name| parent.path().join(name));
        fs::create_dir(&copy).unwrap();
        let directory = Arc::new(DataDirectory::open(&data).unwrap());
        let app_database = AppDatabase::open(Arc::clone(&directory)).unwrap();
        let store = FolderStore::open(Arc::clone(&directory), app_database).unwrap();
        for (device, bytes) in [("a", &b"old"[..]), ("b", b"same"), ("c", b"short-lived")] {
            send(&store, device, bytes).await;
        }
        let moment = app_database::snapshot(&data).unwrap().unwrap();
        let path = copy.join(app_database::FILE_NAME);
        moment.copy(&path, &mut |_| {}).unwrap();
        let blob = |device: &str| -> String {
            let connection = app_database::open_copy(&path).unwrap();
            let sql = "SELECT blob FROM files WHERE device = ?1";
            connection
                .query_row(sql, [device], |row| row.get(0))
                .unwrap()
        };
        let (old, removed) = (blob("a"), blob("c"));
        send(&store, "a", b"newer").await;
        send(&store, "d", b"too late").await;
        let device = DeviceId::new("c").unwrap();
        store.remove(&device, &Condition::default()).await.unwrap();
        wait_for_removal(&data, &old).await;
        wait_for_removal(&data, &removed).await;

        let mut contents = std::collections::HashMap::new();
        copy_blobs(&data, &copy, &mut |_| {}, &mut |name, content| {
            contents.insert(name, content);
        })
        .unwrap();
        let connection = app_database::open_copy(&path).unwrap();
        let mut found = Vec::new();
        visit(&connection, "files", &mut |file| {
            let bytes = fs::read(copy.join(name_of(&file.blob))).unwrap();
            found.push((file.device, String::from_utf8(bytes).unwrap()));
            Ok(())
        })
        .unwrap();
        let expected = [("a", "newer"), ("b", "same")];
        assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(contents.len(), 2);
        assert_eq!(fs::read_dir(copy.join("files")).unwrap().count(), 2);
        check_blobs(&copy, &|name| contents.get(name).copied()).unwrap();
        let error = check_blobs(&copy, &|_| None).unwrap_err();
        assert!(error.message().contains("`a`"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_file_is_reported_as_damage() {
        let parent = tempfile::tempdir().unwrap();
        let [data, copy] = ["data", "copy"].map(|name| parent.path().join(name));
        fs::create_dir(&copy).unwrap();
        let directory = Arc::new(DataDirectory::open(&data).unwrap());
        let app_database = AppDatabase::open(Arc::clone(&directory)).unwrap();
        let store = FolderStore::open(Arc::clone(&directory), app_database).unwrap();
        send(&store, "a", b"lost").await;
        let moment = app_database::snapshot(&data).unwrap().unwrap();
        let path = copy.join(app_database::FILE_NAME);
        moment.copy(&path, &mut |_| {}).unwrap();
        for entry in fs::read_dir(data.join("files")).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        let error = copy_blobs(&data, &copy, &mut |_| {}, &mut |_, _| {}).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
        assert!(error.message().contains("`a`"), "{error}");
    }
}
