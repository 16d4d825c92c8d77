//! The part of a sensor's aggregates from which a write is planned.

use super::super::read::aggregates::SensorAggregates;
use super::super::table::items::PartialAggregate;

/// The known aggregates of a sensor.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownSensor {
    /// How many times replacements have changed the sensor; `None` while the sensor has no reading.
    pub(crate) replacement_version: Option<u64>,
    /// The aggregate of this replica's lease.
    pub(crate) own: Option<PartialAggregate>,
    /// The aggregates of the other leases, with the names of the leases; looked up only for replacements.
    pub(crate) others: Option<Vec<(String, PartialAggregate)>>,
    /// The lowest and the highest reading after the planned changes; looked up only when an extreme is replaced.
    pub(crate) extremes: Option<(i64, i64)>,
}

impl KnownSensor {
    /// Drops the parts that are only valid for a single plan.
    pub(crate) fn without_others(self) -> Self {
        Self {
            others: None,
            extremes: None,
            ..self
        }
    }

    /// From all aggregates of the sensor; `own_lease` is the lease of this replica.
    pub(crate) fn from_aggregates(aggregates: SensorAggregates, own_lease: &str) -> Self {
        let mut own = None;
        let mut others = Vec::new();
        for (lease, aggregate) in aggregates.aggregates {
            match lease == own_lease {
                true => own = Some(aggregate),
                false => others.push((lease, aggregate)),
            }
        }
        Self {
            replacement_version: aggregates.replacement_version,
            own,
            others: Some(others),
            extremes: None,
        }
    }
}
