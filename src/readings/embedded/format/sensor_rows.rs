//! The table `sensors`: the number and the id of each sensor.

use rusqlite::{Connection, params};

use super::codec;
use super::file::{damaged, failed, signed, unsigned};
use crate::error::StoreError;
use crate::readings::SensorId;

/// The checksum of a row.
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

/// Calls `visit` with the id of each sensor, in order of their numbers, which start at 0 without gaps. Missing rows at the end
/// are not detected here, but where chunks or log rows refer to their sensors.
pub(crate) fn visit(
    connection: &Connection,
    mut visit: impl FnMut(&str) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let read_error = |error| failed("read sensors", error);
    let mut statement = connection
        .prepare("SELECT number, id, checksum FROM sensors ORDER BY number")
        .map_err(read_error)?;
    let mut rows = statement.query([]).map_err(read_error)?;
    let mut expected = 0u32;
    while let Some(row) = rows.next().map_err(read_error)? {
        let number: i64 = row.get(0).map_err(read_error)?;
        if number != i64::from(expected) {
            return Err(damaged(format!("sensor number {expected} is missing")));
        }
        let id = row.get_ref(1).map_err(read_error)?.as_str().ok();
        let stored: i64 = row.get(2).map_err(read_error)?;
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
