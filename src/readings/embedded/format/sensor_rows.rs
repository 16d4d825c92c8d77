//! The rows of the table `sensors`: the number and the id of each.

use rusqlite::{Connection, params};

use super::codec;
use super::file::{damaged, failed, signed, unsigned};
use crate::error::StoreError;
use crate::readings::SensorId;

/// The checksum that goes with a row.
pub(crate) fn checksum(number: u32, id: &str) -> u64 {
    codec::hash_text(u64::from(number), id)
}

/// Adds a sensor.
pub(crate) fn insert(
    connection: &Connection,
    number: u32,
    id: &SensorId,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO sensors VALUES (?, ?, ?)")
        .and_then(|mut statement| {
            let checksum = signed(checksum(number, id.as_str()));
            statement.execute(params![number, id.as_str(), checksum])
        })
        .map(drop)
        .map_err(|error| failed("write a sensor", error))
}

/// Calls `visit` with the id of each sensor, in order of their numbers, which follow one another from 0. That the last rows are gone
/// shows where something is told of these sensors.
pub(crate) fn visit(
    connection: &Connection,
    mut visit: impl FnMut(&str) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let read_failed = |error| failed("read sensors", error);
    let mut statement = connection
        .prepare("SELECT number, id, checksum FROM sensors ORDER BY number")
        .map_err(read_failed)?;
    let mut rows = statement.query([]).map_err(read_failed)?;
    let mut expected = 0u32;
    while let Some(row) = rows.next().map_err(read_failed)? {
        let number: i64 = row.get(0).map_err(read_failed)?;
        if number != i64::from(expected) {
            return Err(damaged(format!("sensor number {expected} is missing")));
        }
        let id = row.get_ref(1).map_err(read_failed)?.as_str().ok();
        let stored: i64 = row.get(2).map_err(read_failed)?;
        let id = id
            .filter(|id| SensorId::check(id) == Ok(id))
            .filter(|id| checksum(expected, id) == unsigned(stored))
            .ok_or_else(|| {
                damaged(format!(
                    "the name of sensor number {number} does not match its checksum"
                ))
            })?;
        visit(id)?;
        expected += 1;
    }
    Ok(())
}
