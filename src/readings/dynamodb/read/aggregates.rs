//! The aggregates of a sensor from all replicas, read together.

use super::super::table::client::Tables;
use super::super::table::items::{PartialAggregate, damaged, get_number, get_text};
use super::super::table::keys;
use crate::error::StoreError;
use crate::readings::SensorId;

/// The aggregates of a sensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SensorAggregates {
    /// How many times replacements have changed the sensor; none while it has no reading.
    pub(crate) replacement_version: Option<u64>,
    /// The partial aggregates, each with the name of the lease that owns the aggregate.
    pub(crate) aggregates: Vec<(String, PartialAggregate)>,
}

/// Reads the aggregates of a sensor, the replacement version first.
///
/// # Errors
/// When DynamoDB cannot be reached or refuses, or an aggregate cannot be read.
pub(crate) async fn sensor_aggregates(
    tables: &Tables,
    sensor: &SensorId,
) -> Result<SensorAggregates, StoreError> {
    let range = tables.aggregate_range(
        keys::partition_of(sensor.as_str()),
        keys::replacement_version(sensor.as_str()),
        keys::after_sensor(sensor),
    );
    let mut aggregates = SensorAggregates::default();
    for item in tables.all(&range).await? {
        let Some((_, lease)) = get_text(&item, "cell").and_then(keys::split_partial_aggregate)
        else {
            continue;
        };
        if lease.is_empty() {
            aggregates.replacement_version = get_number(&item, "g");
        } else {
            let aggregate = PartialAggregate::from_item(&item)
                .ok_or_else(|| damaged("a sensor's statistics"))?;
            aggregates.aggregates.push((lease.to_owned(), aggregate));
        }
    }
    Ok(aggregates)
}
