//! The aggregates of one sensor in all replicas, read together.

use super::super::table::client::Tables;
use super::super::table::items::{Cell, damaged, get_number, get_text};
use super::super::table::keys;
use crate::error::StoreError;
use crate::readings::SensorId;

/// The aggregates of one sensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SensorAggregates {
    /// How many times replacements have changed the sensor; none while it has no reading.
    pub(crate) guard: Option<u64>,
    /// The partial aggregates, each with the name of the lease that it belongs to.
    pub(crate) cells: Vec<(String, Cell)>,
}

/// Reads the aggregates of a sensor, the replacement version first.
///
/// # Errors
/// When DynamoDB cannot be reached or refuses, or an aggregate cannot be read.
pub(crate) async fn sensor_aggregates(
    tables: &Tables,
    sensor: &SensorId,
) -> Result<SensorAggregates, StoreError> {
    let range = tables.cells(
        keys::shard_of(sensor.as_str()),
        keys::guard(sensor.as_str()),
        keys::after(sensor),
    );
    let mut aggregates = SensorAggregates::default();
    for item in tables.all(&range).await? {
        let Some((_, slot)) = get_text(&item, "cell").and_then(keys::split_cell) else {
            continue;
        };
        if slot.is_empty() {
            aggregates.guard = get_number(&item, "g");
        } else {
            let cell = Cell::from_item(&item).ok_or_else(|| damaged("a sensor's statistics"))?;
            aggregates.cells.push((slot.to_owned(), cell));
        }
    }
    Ok(aggregates)
}
