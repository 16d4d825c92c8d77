//! The part of a sensor's aggregates that a write is planned from.

use super::super::read::aggregates::SensorAggregates;
use super::super::table::items::Cell;

/// What is known of a sensor.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownSensor {
    /// How many times replacements have changed it; none while it has no reading.
    pub(crate) guard: Option<u64>,
    /// Our cell.
    pub(crate) own: Option<Cell>,
    /// The cells of the other slots; looked up only for replacements.
    pub(crate) others: Option<Vec<(String, Cell)>>,
    /// The lowest and the highest of all its readings as they will be afterwards; looked up only when an extreme is replaced.
    pub(crate) extremes: Option<(i64, i64)>,
}

impl KnownSensor {
    /// Without what was looked up for one plan only.
    pub(crate) fn without_others(self) -> Self {
        Self {
            others: None,
            extremes: None,
            ..self
        }
    }

    /// From all aggregates of the sensor; `own_slot` is the lease of this replica.
    pub(crate) fn from_aggregates(aggregates: SensorAggregates, own_slot: &str) -> Self {
        let mut own = None;
        let mut others = Vec::new();
        for (slot, cell) in aggregates.cells {
            match slot == own_slot {
                true => own = Some(cell),
                false => others.push((slot, cell)),
            }
        }
        Self {
            guard: aggregates.guard,
            own,
            others: Some(others),
            extremes: None,
        }
    }
}
