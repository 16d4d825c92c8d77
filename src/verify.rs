//! Checks everything in a data directory: readings, todos, the greeting, and device files.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::error::{StoreError, StoreErrorKind};
use crate::files::folder;
use crate::readings::embedded;
use crate::storage::app_database::{self, Connection};
use crate::storage::data_directory::{self, DataDirectory};
use crate::storage::disk;
use crate::{greeting, todos};

/// How many problems are named; the others are counted.
const PROBLEMS_MAX: usize = 100;

/// How many names a note lists.
const NAMES_MAX: usize = 5;

/// The progress of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Finished steps of the check of the readings, and all steps.
    Readings(u64, u64),
    /// The number of rows of `station.db` read so far.
    Rows(u64),
    /// The number of bytes of device files read so far, and the number of all bytes.
    Files(u64, u64),
}

/// The result of a check.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The result for `readings.db`; `None` when the file is missing.
    pub readings: Option<embedded::VerifyReport>,
    /// The number of todos; `None` without `station.db`.
    pub todos: Option<u64>,
    /// The number of device files and their bytes; `None` without `station.db`.
    pub files: Option<(u64, u64)>,
    /// The first hundred problems, in words.
    pub problems: Vec<String>,
    /// The number of all problems.
    pub problem_count: u64,
    /// Notes without problems, such as unchecked files.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether there is no problem.
    pub fn is_sound(&self) -> bool {
        self.problem_count == 0
    }

    fn problem(&mut self, part: &str, problem: &str) {
        self.problem_count += 1;
        if self.problems.len() == PROBLEMS_MAX {
            return;
        }
        // The messages of errors advise to run this check, and may name the file.
        let problem = problem.split("; run `fieldstation verify`").next();
        let problem = problem.unwrap_or_default();
        let is_named = problem.starts_with(part);
        self.problems.push(match is_named {
            true => problem.to_owned(),
            false => format!("{part}: {problem}"),
        });
    }

    fn add_readings(&mut self, readings: embedded::VerifyReport) {
        for problem in &readings.problems {
            self.problem(embedded::FILE_NAME, problem);
        }
        self.problem_count += readings.problem_count - readings.problems.len() as u64;
        self.readings = Some(readings);
    }
}

/// Checks a data directory. No server may use the directory meanwhile. The data is not changed. If a server was killed, a database may need
/// a recovery before the read. The recovery is the same as at the start of a server.
///
/// # Errors
/// [`StoreErrorKind::Unavailable`] when there is nothing to verify, or a server uses the directory; [`StoreErrorKind::Unsupported`] when a
/// newer version wrote the data. Damage is not an error; the report names the damage.
pub fn verify(directory: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Report, StoreError> {
    let has = |name: &str| directory.join(name).is_file();
    let (has_readings, has_app_database) = (has(embedded::FILE_NAME), has(app_database::FILE_NAME));
    if !has_readings && !has_app_database {
        return Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!(
                "there is neither {} nor {} in {}: nothing to verify",
                embedded::FILE_NAME,
                app_database::FILE_NAME,
                directory.display()
            ),
        ));
    }
    let databases = [
        (embedded::FILE_NAME, has_readings),
        (app_database::FILE_NAME, has_app_database),
    ];
    let databases: Vec<_> = databases
        .into_iter()
        .filter_map(|(name, is_there)| is_there.then_some(name))
        .collect();
    let held = DataDirectory::open_to_read(directory, &databases)?;
    let mut report = Report::default();
    if has_readings {
        let found = embedded::verify_held(&held, &mut |done, total| {
            progress(Progress::Readings(done, total));
        })?;
        report.add_readings(found);
    }
    if has_app_database {
        let opened = app_database::open_held(&held);
        if let Some(connection) = check_app_database(opened, &mut report, progress)? {
            check_files(directory, &connection, &mut report, progress);
        }
    } else {
        match folder::unnamed(directory, &HashSet::new())? {
            0 => {}
            count => report.problem(
                app_database::FILE_NAME,
                &format!("it is missing, and with it what {count} files in files/ are"),
            ),
        }
    }
    note_missing_databases(&mut report, has_readings, has_app_database);
    note_foreign_entries(directory, &mut report)?;
    Ok(report)
}

/// Checks copies of the databases. No other process may use the copies. The device files were checked before.
///
/// # Errors
/// As [`verify`].
pub(crate) fn verify_copies(
    directory: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let readings = directory.join(embedded::FILE_NAME);
    if readings.exists() {
        let found = embedded::check_copy(&readings, &mut |done, total| {
            progress(Progress::Readings(done, total));
        })?;
        report.add_readings(found);
    }
    let app_database = directory.join(app_database::FILE_NAME);
    if app_database.exists()
        && let Some(connection) = check_app_database(
            app_database::open_copy(&app_database),
            &mut report,
            progress,
        )?
    {
        let bytes = folder::bytes_to_check(&connection)?;
        report.files = report.files.map(|(files, _)| (files, bytes));
    }
    Ok(report)
}

/// Checks `station.db`; `None` when the file is too damaged to be opened.
fn check_app_database(
    opened: Result<Connection, StoreError>,
    report: &mut Report,
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<Connection>, StoreError> {
    let mut problem = |problem: String| report.problem(app_database::FILE_NAME, &problem);
    let mut read = 0;
    let checked = opened.and_then(|connection| {
        let rows = app_database::check(&connection, &mut problem, &mut |more| {
            read += more;
            progress(Progress::Rows(read));
        })?;
        Ok((connection, rows))
    });
    let (connection, rows) = match checked {
        Ok(checked) => checked,
        Err(error) if error.kind() == StoreErrorKind::Damaged => {
            problem(error.message().to_owned());
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    for checked in [
        folder::check_rows(&connection, &mut problem),
        todos::check_rows(&connection, &mut problem),
        greeting::check_rows(&connection, &mut problem),
    ] {
        if let Err(error) = checked {
            problem(error.message().to_owned());
        }
    }
    report.todos = Some(rows.todos);
    report.files = Some((rows.files, 0));
    if !rows.have_checksums {
        report.notes.push(format!(
            "the rows of {} have no checksums yet: an older version wrote it, and a server that opens it adds them",
            app_database::FILE_NAME
        ));
    }
    Ok(Some(connection))
}

fn check_files(
    directory: &Path,
    connection: &Connection,
    report: &mut Report,
    progress: &mut dyn FnMut(Progress),
) {
    let mut read = 0;
    let mut problem = |problem: String| report.problem(folder::DIRECTORY_NAME, &problem);
    let checked = folder::bytes_to_check(connection).and_then(|total| {
        folder::check_files(directory, connection, &mut problem, &mut |more| {
            read += more;
            progress(Progress::Files(read, total.max(read)));
        })
    });
    match checked {
        Ok(found) => {
            report.files = Some((found.files, found.bytes));
            if found.unnamed > 0 {
                report.notes.push(format!(
                    "{} files in files/ belong to no device, as uploads leave them that broke off: not looked at, and removed \
                     by the next start of a server",
                    found.unnamed
                ));
            }
        }
        Err(error) => problem(error.message().to_owned()),
    }
}

fn note_missing_databases(report: &mut Report, has_readings: bool, has_app_database: bool) {
    if !has_readings {
        report.notes.push(format!(
            "there is no {}: no readings were looked at",
            embedded::FILE_NAME
        ));
    }
    if !has_app_database {
        report.notes.push(format!(
            "there is no {}: no todos, no greeting and no device files were looked at",
            app_database::FILE_NAME
        ));
    }
    report.notes.push(
        "what is kept elsewhere (DynamoDB, S3, PostgreSQL, Redis) was not looked at".to_owned(),
    );
}

/// Notes the foreign entries of the directory.
fn note_foreign_entries(directory: &Path, report: &mut Report) -> Result<(), StoreError> {
    let unreadable = |error: std::io::Error| {
        StoreError::new(
            StoreErrorKind::Unavailable,
            format!("cannot read {}: {error}", directory.display()),
        )
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let name = name.to_string_lossy();
        if !is_ours(&name) {
            names.push(name.escape_debug().to_string());
        }
    }
    names.sort_unstable();
    let more = match names.len().saturating_sub(NAMES_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.truncate(NAMES_MAX);
    if !names.is_empty() {
        report.notes.push(format!(
            "{}{more} in the directory: not a part of the data, and not looked at",
            names.join(", ")
        ));
    }
    Ok(())
}

fn is_ours(name: &str) -> bool {
    let is_of_database = [embedded::FILE_NAME, app_database::FILE_NAME]
        .iter()
        .any(|database| {
            name.strip_prefix(database)
                .is_some_and(|rest| ["", "-wal", "-shm", "-journal"].contains(&rest))
        });
    let others = [
        folder::DIRECTORY_NAME,
        data_directory::LOCK_FILE,
        disk::RESERVE_FILE,
        disk::PROBE_FILE,
    ];
    is_of_database || others.contains(&name)
}
