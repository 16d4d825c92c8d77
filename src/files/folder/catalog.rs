//! The table `files` of `station.db`: the name of the blob of each device's file, and the metadata of the file.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::blobs::BlobName;
use crate::error::StoreError;
use crate::files::{
    Condition, ContentType, DeviceId, Digest, FileInfo, FileName, NewFile, Page, Publication,
    Removal,
};
use crate::storage::app_database::{self, AppDatabase, FILE_NAME};
use crate::storage::sqlite;
use crate::timestamp::Timestamp;

/// Access to the table `files`.
#[derive(Clone, Debug)]
pub(super) struct Catalog {
    app_database: Arc<AppDatabase>,
}

/// A device's row.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) info: FileInfo,
    pub(super) blob: BlobName,
}

impl Catalog {
    pub(super) fn new(app_database: Arc<AppDatabase>) -> Self {
        Self { app_database }
    }

    pub(super) fn ready(&self) -> Result<(), StoreError> {
        self.app_database.ready()
    }

    pub(super) fn open_for_additions(&self) -> Result<(), StoreError> {
        self.app_database.open_for_additions()
    }

    pub(super) async fn find(&self, device: &DeviceId) -> Result<Option<Entry>, StoreError> {
        let device = device.clone();
        self.app_database
            .read("look up a file", move |transaction| {
                Ok(find(transaction, &device)?.transpose()?)
            })
            .await
    }

    pub(super) async fn list(
        &self,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Page<DeviceId>, StoreError> {
        // Every id comes after the empty text.
        let after = after.map_or("", DeviceId::as_str).to_owned();
        self.app_database
            .read("list the files", move |transaction| {
                let mut statement = transaction.prepare_cached(
                    "SELECT device, check_row(checksum, computed, 'the row of the file of the device', device) \
                     FROM files_checked WHERE device > ?1 ORDER BY device LIMIT ?2",
                )?;
                let mut rows = statement.query(params![after, limit as i64 + 1])?;
                let mut items = Vec::new();
                while let Some(row) = rows.next()? {
                    items.push(device_id(row.get_ref(0)?.as_str().map_err(conversion_error)?)?);
                }
                let more = items.len() > limit;
                items.truncate(limit);
                Ok(Page { items, more })
            })
            .await
    }

    /// Makes a blob the file of a device if the condition holds, in a single transaction. Returns the blob of the replaced file.
    pub(super) async fn publish(
        &self,
        device: DeviceId,
        blob: BlobName,
        file: NewFile,
        condition: Condition,
    ) -> Result<(Publication, Option<BlobName>), StoreError> {
        self.app_database
            .write("publish a file", move |transaction| {
                let current = find(transaction, &device)?.transpose()?;
                let tag = current.as_ref().map(|entry| entry.info.tag());
                if !condition.holds(tag.as_deref()) {
                    return Ok((Publication::Refused, None));
                }
                transaction
                    .prepare_cached(
                        "INSERT INTO files (device, blob, size_bytes, content_type, name, sha256, time_micros) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                         ON CONFLICT (device) DO UPDATE SET blob = ?2, size_bytes = ?3, content_type = ?4, \
                         name = ?5, sha256 = ?6, time_micros = ?7",
                    )?
                    .execute(params![
                        device.as_str(),
                        &*blob,
                        file.size_bytes as i64,
                        file.content_type.as_str(),
                        file.name.as_ref().map(FileName::as_str),
                        file.digest.0,
                        file.time.micros(),
                    ])?;
                let info = FileInfo { device, file };
                Ok((Publication::Stored(info), current.map(|entry| entry.blob)))
            })
            .await
    }

    /// Removes a device's row if the condition holds, in a single transaction. Returns the blob of the removed file.
    pub(super) async fn remove(
        &self,
        device: &DeviceId,
        condition: Condition,
    ) -> Result<(Removal, Option<BlobName>), StoreError> {
        let device = device.clone();
        self.app_database
            .remove("remove a file", move |transaction| {
                let Some(current) = find(transaction, &device)?.transpose()? else {
                    let removal = if condition.holds(None) {
                        Removal::Missing
                    } else {
                        Removal::Refused
                    };
                    return Ok((removal, None));
                };
                if !condition.holds(Some(&current.info.tag())) {
                    return Ok((Removal::Refused, None));
                }
                transaction
                    .prepare_cached("DELETE FROM files WHERE device = ?1")?
                    .execute([device.as_str()])?;
                Ok((Removal::Removed, Some(current.blob)))
            })
            .await
    }

    /// Checks every row.
    ///
    /// # Errors
    /// [`crate::error::StoreErrorKind::Damaged`] names the first damaged row.
    pub(super) async fn refuse_if_damaged(&self) -> Result<(), StoreError> {
        self.app_database
            .read("check the rows of files", |transaction| {
                Ok(app_database::check_files(transaction)?)
            })
            .await
    }

    /// The names without a row.
    pub(super) async fn without_row(
        &self,
        names: Vec<BlobName>,
    ) -> Result<Vec<BlobName>, StoreError> {
        self.app_database
            .read("look up files", move |transaction| {
                let mut statement =
                    transaction.prepare_cached("SELECT 1 FROM files WHERE blob = ?1")?;
                let mut unnamed = Vec::new();
                for name in names {
                    if !statement.exists([&*name])? {
                        unnamed.push(name);
                    }
                }
                Ok(unnamed)
            })
            .await
    }
}

/// A value of a row, or the damage of the row.
type Parsed<T> = Result<T, StoreError>;

fn find(
    transaction: &Transaction<'_>,
    device: &DeviceId,
) -> rusqlite::Result<Option<Parsed<Entry>>> {
    transaction
        .prepare_cached(
            "SELECT blob, size_bytes, content_type, name, sha256, time_micros, \
             check_row(checksum, computed, 'the row of the file of the device', device) \
             FROM files_checked WHERE device = ?1",
        )?
        .query_row([device.as_str()], |row| entry(row, device))
        .optional()
}

fn entry(row: &Row<'_>, device: &DeviceId) -> rusqlite::Result<Parsed<Entry>> {
    let blob: String = row.get(0)?;
    let size_bytes: i64 = row.get(1)?;
    let content_type: String = row.get(2)?;
    let name: Option<String> = row.get(3)?;
    let digest: [u8; 32] = row.get(4)?;
    let time_micros: i64 = row.get(5)?;
    let file = || {
        Some(NewFile {
            size_bytes: u64::try_from(size_bytes).ok()?,
            content_type: ContentType::new(&content_type)?,
            name: match name {
                None => None,
                Some(name) => Some(FileName::new(&name)?),
            },
            digest: Digest(digest),
            time: Timestamp::from_micros(time_micros)?,
        })
    };
    Ok(file()
        .map(|file| Entry {
            info: FileInfo {
                device: device.clone(),
                file,
            },
            blob: blob.into(),
        })
        .ok_or_else(damaged))
}

fn device_id(text: &str) -> Parsed<DeviceId> {
    DeviceId::new(text).map_err(|_| damaged())
}

fn conversion_error(error: rusqlite::types::FromSqlError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}

/// The error of a row that this program never writes.
fn damaged() -> StoreError {
    sqlite::damaged(FILE_NAME, "a row of a file is not what this program writes")
}

/// Parses every row with a right checksum. Calls `problem` for each row that this program never writes.
///
/// # Errors
/// When the rows cannot be read.
pub(crate) fn check_rows(
    connection: &Connection,
    problem: &mut dyn FnMut(String),
) -> Result<(), StoreError> {
    let query_error = |error| sqlite::query_error(FILE_NAME, "read the rows of files", error);
    let files = app_database::sound_rows(connection, "files")?;
    let sql = format!(
        "SELECT blob, size_bytes, content_type, name, sha256, time_micros, device FROM {files}"
    );
    let mut statement = connection.prepare(&sql).map_err(query_error)?;
    let mut rows = statement.query([]).map_err(query_error)?;
    while let Some(row) = rows.next().map_err(query_error)? {
        let device: String = row.get(6).map_err(query_error)?;
        let is_sound = match DeviceId::new(&device) {
            Ok(device) => entry(row, &device).map_err(query_error)?.is_ok(),
            Err(_) => false,
        };
        if !is_sound {
            problem(format!(
                "the row of the file of the device `{}` is not what this program writes",
                device.escape_debug()
            ));
        }
    }
    Ok(())
}
