//! A round of sealing.

use crate::readings::embedded::index::Index;
use crate::readings::embedded::options::EmbeddedOptions;

/// One round of sealing through all sensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cycle {
    /// The last log row when it began.
    pub(crate) mark: u64,
    /// The sensor whose turn it is.
    pub(crate) next: u32,
    /// Shorter tails are carried.
    pub(crate) points_min: usize,
    /// Goes through to the end without resting.
    pub(crate) urgent: bool,
}

impl Cycle {
    pub(crate) fn new(
        last_sequence: u64,
        index: &Index,
        sealable_points: usize,
        options: &EmbeddedOptions,
    ) -> Self {
        let tails = index
            .sensors()
            .iter()
            .filter(|sensor| !sensor.tail.is_empty())
            .count();
        let crowded = 2 * sealable_points >= options.tail_points_max;
        // Where short tails are what fills the memory, they have to go too.
        let points_min = if crowded {
            (sealable_points / tails.max(1) / 2).clamp(1, options.chunk_points_min)
        } else {
            options.chunk_points_min
        };
        Self {
            mark: last_sequence,
            next: 0,
            points_min,
            urgent: false,
        }
    }
}
