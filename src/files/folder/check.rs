//! Checks the files of a data directory against their rows.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use rusqlite::Connection;

use super::DIRECTORY_NAME;
use super::blobs::{self, is_name};
use super::copies::{FileRow, name_of, query_error, visit};
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::app_database;
use crate::storage::durable_file;

/// The result of a check of the folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FolderCheck {
    /// The number of files with a row, and the total size in the rows.
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// The number of other files: interrupted uploads.
    pub(crate) unnamed: u64,
}

/// Reads the file of every row with a right checksum. Calls `problem` for each missing or damaged file, and `progress` with the number of
/// bytes of each read.
///
/// # Errors
/// When the rows or the folder cannot be read.
pub(crate) fn check_files(
    directory: &Path,
    connection: &Connection,
    problem: &mut dyn FnMut(String),
    progress: &mut dyn FnMut(u64),
) -> Result<FolderCheck, StoreError> {
    let rows = app_database::sound_rows(connection, "files")?;
    let mut result = FolderCheck::default();
    let mut named = HashSet::new();
    visit(connection, &rows, &mut |file| {
        result.files += 1;
        result.bytes += file.content.bytes;
        if let Err(error) = check_file(directory, &file, progress) {
            problem(error.message().to_owned());
        }
        named.insert(file.blob);
        Ok(())
    })?;
    result.unnamed = unnamed(directory, &named)?;
    Ok(result)
}

/// The number of bytes for [`check_files`] to read.
///
/// # Errors
/// When the rows cannot be read.
pub(crate) fn bytes_to_check(connection: &Connection) -> Result<u64, StoreError> {
    let rows = app_database::sound_rows(connection, "files")?;
    connection
        .query_row(
            &format!("SELECT total(size_bytes) FROM {rows}"),
            [],
            |row| row.get::<_, f64>(0),
        )
        .map(|bytes| bytes as u64)
        .map_err(query_error)
}

/// The number of files in the folder whose names are not in `named`.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn unnamed(directory: &Path, named: &HashSet<String>) -> Result<u64, StoreError> {
    let io_error = |error| blobs::io_error("list the files", error);
    let entries = match fs::read_dir(directory.join(DIRECTORY_NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(io_error)?,
    };
    let mut count = 0;
    for entry in entries {
        let name = entry.map_err(io_error)?.file_name();
        let is_named = name.to_str().is_some_and(|name| named.contains(name));
        count += u64::from(!is_named);
    }
    Ok(count)
}

fn check_file(
    directory: &Path,
    file: &FileRow,
    progress: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    if !is_name(&file.blob) {
        return Err(file.missing());
    }
    let content = File::open(directory.join(name_of(&file.blob)))
        .and_then(|mut source| durable_file::content_with(&mut source, progress));
    match content {
        Ok(content) if content == file.content => Ok(()),
        Ok(_) => Err(file.damaged()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(file.missing()),
        Err(error) => Err(StoreError::new(
            StoreErrorKind::Damaged,
            format!(
                "{}, the file of the device `{}`, cannot be read: {error}",
                name_of(&file.blob),
                file.device
            ),
        )),
    }
}
