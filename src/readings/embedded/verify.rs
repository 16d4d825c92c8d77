//! Checks everything on disk, and recounts all statistics.

use std::path::Path;

use rusqlite::Connection;

use super::database;
use super::format::chunks;
use super::format::file::{FILE_NAME, failed};
use super::format::ledger::Ledger;
use super::periods;
use super::progress::Progress;
use super::schema::DATABASE;
use super::sensor::view::SensorView;
use super::start::recovery::{self, Recovered};
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::{Stats, Window};
use crate::storage::data_directory::DataDirectory;

/// How many problems a report lists. Further problems are only counted.
const PROBLEMS_MAX: usize = 100;

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// The number of sensors.
    pub sensors: u64,
    /// The number of sealed chunks. Each was decoded.
    pub chunks: u64,
    /// The number of log rows that are not sealed.
    pub log_rows: u64,
    /// The number of readings in these log rows. A replaced reading counts each time.
    pub log_readings: u64,
    /// The recounted statistics of all readings. Empty if a recount was not possible.
    pub stats: Stats,
    /// The first hundred problems, in words.
    pub problems: Vec<String>,
    /// The number of problems.
    pub problem_count: u64,
}

impl VerifyReport {
    /// Whether no problem was found.
    pub fn is_sound(&self) -> bool {
        self.problem_count == 0
    }

    /// Records damage as a problem. Returns an error for data from a newer version, because this version cannot judge such data.
    fn found(&mut self, error: StoreError) -> Result<(), StoreError> {
        if error.kind() == StoreErrorKind::Unsupported {
            return Err(error);
        }
        self.problem(error.message());
        Ok(())
    }

    fn problem(&mut self, problem: impl Into<String>) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem.into());
        }
    }
}

/// Verifies a data directory that no server uses: reads the structure of the file, every checksum and every reading, and recounts
/// the statistics. Calls `progress` with the number of finished steps and of all steps.
///
/// # Errors
/// If there is nothing to verify, the file cannot be opened, or a newer version wrote the file ([`StoreErrorKind::Unsupported`]).
/// Damage is reported, and is not an error.
pub fn verify(
    directory: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<VerifyReport, StoreError> {
    let path = directory.join(FILE_NAME);
    if !path.is_file() {
        return Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!("there is no {} in {}", FILE_NAME, directory.display()),
        ));
    }
    let directory = DataDirectory::open_to_read(directory, &[FILE_NAME])?;
    verify_held(&directory, progress)
}

/// As [`verify`], for a data directory that the caller has locked and that has a `readings.db`.
///
/// # Errors
/// As [`verify`].
pub(crate) fn verify_held(
    directory: &DataDirectory,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<VerifyReport, StoreError> {
    let opened = if directory.is_read_only() {
        database::open_reader_of(directory)
    } else {
        DATABASE.open_writer(&directory.join(FILE_NAME))
    };
    report(opened, progress)
}

/// Verifies an opened database. If damage prevented the opening, reports the damage.
pub(crate) fn report(
    opened: Result<Connection, StoreError>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<VerifyReport, StoreError> {
    let mut report = VerifyReport::default();
    match opened {
        Ok(connection) => check(&connection, &mut report, progress)?,
        Err(error) if error.kind() == StoreErrorKind::Damaged => report.problem(error.message()),
        Err(error) => return Err(error),
    }
    Ok(report)
}

fn check(
    connection: &Connection,
    report: &mut VerifyReport,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), StoreError> {
    check_structure(connection, report)?;
    let chunks_expected = match Ledger::read(connection) {
        Ok(ledger) => ledger.chunks,
        Err(error) => {
            report.problem(error.message());
            0
        }
    };
    let mut done = 0;
    let visited = chunks::visit_all(connection, |chunk| {
        let checked = chunk
            .and_then(|chunk| chunks::check_columns(&chunk, &chunks::points(connection, &chunk)?));
        if let Err(error) = checked {
            report.found(error)?;
        }
        done += 1;
        // Each chunk is read twice: by itself, and in the recount.
        progress(done, (2 * chunks_expected).max(done));
        Ok(())
    });
    if let Err(error) = visited {
        report.found(error)?;
    }
    report.chunks = done;
    match recovery::recover(connection, &Progress::default()) {
        Ok(recovered) => recount(connection, &recovered, report, &mut |more| {
            progress(done + more, (2 * chunks_expected).max(done + more));
        }),
        Err(error) => report.found(error)?,
    }
    Ok(())
}

/// Runs SQLite's own check of pages and constraints.
fn check_structure(connection: &Connection, report: &mut VerifyReport) -> Result<(), StoreError> {
    let check_error = |error| failed("check the structure", error);
    let mut statement = connection
        .prepare("PRAGMA integrity_check(100)")
        .map_err(check_error)?;
    let mut rows = statement.query([]).map_err(check_error)?;
    loop {
        match rows.next() {
            Ok(Some(row)) => {
                let line: String = row.get(0).map_err(check_error)?;
                if line != "ok" {
                    report.problem(format!("the structure of the file: {line}"));
                }
            }
            Ok(None) => return Ok(()),
            Err(error) => {
                report.problem(failed("check the structure", error).message());
                return Ok(());
            }
        }
    }
}

/// Counts every reading, and compares the counts with the statistics in the answers of a server.
fn recount(
    connection: &Connection,
    recovered: &Recovered,
    report: &mut VerifyReport,
    progress: &mut dyn FnMut(u64),
) {
    report.sensors = recovered.index.len() as u64;
    report.log_rows = recovered.log_rows;
    report.log_readings = recovered.log_readings;
    let mut total = Stats::EMPTY;
    let mut pieces = 0;
    for (number, sensor) in recovered.index.ordered_after(None) {
        let id = recovered.index.id(number);
        let mut counted = Stats::EMPTY;
        let view = SensorView::new(number, sensor, None);
        let visited = view.visit_points(connection, Window::ALL, &mut |points| {
            counted.extend(points.iter().map(|point| point.temperature));
            pieces += 1;
            progress(pieces);
            true
        });
        match visited {
            Ok(()) if counted == sensor.stats => {}
            Ok(()) => report.problem(format!(
                "the statistics of sensor \"{id}\" are not those of its readings"
            )),
            Err(error) => report.problem(format!("sensor \"{id}\": {}", error.message())),
        }
        total.merge(&counted);
    }
    // Damaged readings cannot be counted.
    if report.is_sound()
        && let Some(counted) = &recovered.ledger.counted
    {
        let index = &recovered.index;
        let (sensors, uncounted) = (index.sensors(), &index.uncounted);
        let checked = periods::check(connection, counted, sensors, uncounted, &mut |what| {
            report.problem(what);
        });
        if let Err(error) = checked {
            report.problem(error.message());
        }
    }
    if total != recovered.index.totals {
        report.problem("the statistics over all sensors are not those of the readings");
    }
    report.stats = total;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::embedded::format::codec;
    use crate::readings::{Point, Temperature, Timestamp};

    #[test]
    fn what_a_newer_version_wrote_is_refused_and_no_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let connection = DATABASE.open_writer(&path).unwrap();
        let point = Point {
            timestamp: Timestamp::from_micros(7).unwrap(),
            temperature: Temperature::from_micro_degrees(1).unwrap(),
        };
        chunks::insert(&connection, 3, 1, 0, &[point]).unwrap();
        let mut bytes = vec![99, 1, 0];
        codec::append_checksum(&mut bytes, codec::hash_integers(&[3, 7]));
        let sql = "UPDATE chunk_data SET data = ?1";
        connection.execute(sql, [bytes]).unwrap();
        drop(connection);
        let error = verify(directory.path(), &mut |_, _| {}).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{error}");
        assert!(
            error.message().contains("newer version") && error.message().contains("format 99"),
            "{error}"
        );
    }
}
