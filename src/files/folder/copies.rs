//! Blobs beside a copy of `station.db`: copied while a server replaces them, and checked.

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

/// How often a file is looked up again because it was replaced between the look-up and the opening.
const LOOKUPS_MAX: usize = 100;

const COLUMNS: &str = "device, blob, size_bytes, sha256, content_type, name, time_micros";

/// How many bytes the files have that a copy of `station.db` tells of.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn bytes_total(directory: &Path) -> Result<u64, StoreError> {
    app_database::open_copy(&directory.join(app_database::FILE_NAME))?
        .query_row("SELECT total(size_bytes) FROM files", [], |row| {
            row.get::<_, f64>(0)
        })
        .map(|bytes| bytes as u64)
        .map_err(failed)
}

/// Copies the files of a data directory that a copy of its `station.db` tells of, beside that copy, each checked against its
/// digest; `took` is told of each, by its name in the directory.
///
/// A file that was replaced or removed since the copy of `station.db` was taken may be gone. Then the copy is given the row as
/// it is by now: a file that is replaced all the time is there all the same, as of a moment that is a little later.
///
/// # Errors
/// [`StoreErrorKind::Damaged`] names the device whose file is missing or is not what was stored.
pub(crate) fn copy_blobs(
    data: &Path,
    directory: &Path,
    progress: &mut dyn FnMut(u64),
    took: &mut dyn FnMut(String, Content),
) -> Result<(), StoreError> {
    let blobs = directory.join(DIRECTORY_NAME);
    fs::create_dir(&blobs).map_err(not_written)?;
    let mut copying = Copying {
        data,
        directory,
        live: None,
        progress,
        took,
    };
    let mut copy = app_database::open_copy(&directory.join(app_database::FILE_NAME))?;
    let mut changes = Vec::new();
    visit(&copy, "files", &mut |file| {
        changes.extend(copying.take(&file)?);
        Ok(())
    })?;
    apply(&mut copy, &changes).map_err(failed)?;
    durable_file::sync_directory(&blobs).map_err(not_written)
}

/// Checks that every file is there that a copy of `station.db` tells of. `content_of` says what is there by a name.
///
/// # Errors
/// [`StoreErrorKind::Damaged`] names the first device whose file is missing or is another one.
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

/// Whether a name in a data directory is that of a file of a device.
pub(crate) fn is_blob(name: &str) -> bool {
    name.strip_prefix(DIRECTORY_NAME)
        .and_then(|name| name.strip_prefix('/'))
        .is_some_and(is_name)
}

pub(super) fn name_of(blob: &str) -> String {
    format!("{DIRECTORY_NAME}/{blob}")
}

/// A row of `files`.
#[derive(Debug)]
pub(super) struct Catalogued {
    pub(super) device: String,
    pub(super) blob: String,
    pub(super) content: Content,
    /// The other columns, as they are.
    others: [Value; 3],
}

impl Catalogued {
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
        self.wrong("is missing")
    }

    pub(super) fn damaged(&self) -> StoreError {
        self.wrong("is not what was stored: its digest or its length is another one")
    }

    pub(super) fn wrong(&self, what: &str) -> StoreError {
        StoreError::new(
            StoreErrorKind::Damaged,
            format!(
                "{}, the file of the device `{}`, {what}; send it again, or remove it",
                name_of(&self.blob),
                self.device
            ),
        )
    }
}

/// What a copy of `station.db` has to learn.
#[derive(Debug)]
enum Change {
    Replaced(Catalogued),
    Removed { device: String },
}

struct Copying<'a> {
    data: &'a Path,
    directory: &'a Path,
    /// The database itself, once it is needed.
    live: Option<Connection>,
    progress: &'a mut dyn FnMut(u64),
    took: &'a mut dyn FnMut(String, Content),
}

impl Copying<'_> {
    fn take(&mut self, file: &Catalogued) -> Result<Option<Change>, StoreError> {
        if self.copy(file)? {
            return Ok(None);
        }
        let mut gone = file.blob.clone();
        for _ in 0..LOOKUPS_MAX {
            let Some(newer) = self.find(&file.device)? else {
                let device = file.device.clone();
                return Ok(Some(Change::Removed { device }));
            };
            if newer.blob == gone {
                // A row changes before its blob goes, so this one has lost it.
                return Err(newer.missing());
            }
            if self.copy(&newer)? {
                return Ok(Some(Change::Replaced(newer)));
            }
            gone = newer.blob;
        }
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!(
                "the file of the device `{}` is replaced faster than it can be copied; try again when less is sent",
                file.device
            ),
        ))
    }

    /// Copies a file; says whether it was there.
    fn copy(&mut self, file: &Catalogued) -> Result<bool, StoreError> {
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
        (self.took)(name, content);
        Ok(true)
    }

    fn find(&mut self, device: &str) -> Result<Option<Catalogued>, StoreError> {
        let live = match self.live.take() {
            Some(live) => live,
            None => app_database::open_reader(&self.data.join(app_database::FILE_NAME))?,
        };
        // It goes into the copy with a checksum of its own: one that is not what was written would seem to be.
        let rows = app_database::sound_rows(&live, "files")?;
        let sql = format!("SELECT {COLUMNS} FROM {rows} WHERE device = ?1");
        let found = live
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_row([device], Catalogued::read).optional())
            .map_err(failed);
        self.live = Some(live);
        found
    }
}

/// Reads the rows of `files`, or of what else there is to select from in its place.
pub(super) fn visit(
    connection: &Connection,
    rows: &str,
    visit: &mut dyn FnMut(Catalogued) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {rows} ORDER BY device");
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    let files = statement.query_map([], Catalogued::read).map_err(failed)?;
    for file in files {
        visit(file.map_err(failed)?)?;
    }
    Ok(())
}

fn apply(copy: &mut Connection, changes: &[Change]) -> rusqlite::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let transaction = copy.transaction()?;
    for change in changes {
        match change {
            Change::Removed { device } => {
                transaction
                    .prepare_cached("DELETE FROM files WHERE device = ?1")?
                    .execute([device])?;
            }
            Change::Replaced(file) => {
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

pub(super) fn failed(error: rusqlite::Error) -> StoreError {
    sqlite::query_error(app_database::FILE_NAME, "look up the files", error)
}

fn not_written(error: io::Error) -> StoreError {
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

    async fn gone(data: &Path, blob: &str) {
        let path = data.join(name_of(blob));
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while path.exists() {
            assert!(std::time::Instant::now() < deadline, "{blob} stays");
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_file_that_changed_since_is_copied_as_it_is_by_now() {
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
        gone(&data, &old).await;
        gone(&data, &removed).await;

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
    async fn a_file_that_is_missing_is_damage_and_not_a_change() {
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
