//! Whether the files of a data directory are what their rows say.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use rusqlite::Connection;

use super::DIRECTORY_NAME;
use super::blobs::{self, is_name};
use super::copies::{Catalogued, failed, name_of, visit};
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::app_database;
use crate::storage::durable_file;

/// What was found in the folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// How many files devices have, and how many bytes these are by their rows.
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// How many more there are, which no device has: uploads that broke off.
    pub(crate) unnamed: u64,
}

/// Reads every file that a row tells of which matches its checksum. `problem` is told of each that is missing or not what was
/// stored, `progress` how many bytes more were read.
///
/// # Errors
/// When the rows or the folder cannot be read.
pub(crate) fn check_files(
    directory: &Path,
    connection: &Connection,
    problem: &mut dyn FnMut(String),
    progress: &mut dyn FnMut(u64),
) -> Result<Found, StoreError> {
    let rows = app_database::sound_rows(connection, "files")?;
    let mut found = Found::default();
    let mut named = HashSet::new();
    visit(connection, &rows, &mut |file| {
        found.files += 1;
        found.bytes += file.content.bytes;
        if let Err(error) = check_file(directory, &file, progress) {
            problem(error.message().to_owned());
        }
        named.insert(file.blob);
        Ok(())
    })?;
    found.unnamed = unnamed(directory, &named)?;
    Ok(found)
}

/// How many bytes [`check_files`] is going to read.
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
        .map_err(failed)
}

/// How many files there are in the folder but for those with some names.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn unnamed(directory: &Path, named: &HashSet<String>) -> Result<u64, StoreError> {
    let failed = |error| blobs::failed("list the files", error);
    let entries = match fs::read_dir(directory.join(DIRECTORY_NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(failed)?,
    };
    let mut count = 0;
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let is_named = name.to_str().is_some_and(|name| named.contains(name));
        count += u64::from(!is_named);
    }
    Ok(count)
}

fn check_file(
    directory: &Path,
    file: &Catalogued,
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
