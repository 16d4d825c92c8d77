//! A sealing cycle.

use crate::readings::embedded::index::Index;
use crate::readings::embedded::options::EmbeddedOptions;

/// A sealing cycle: a pass through all sensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cycle {
    /// The last log row at the start of the cycle.
    pub(crate) log_end: u64,
    /// The next sensor to seal.
    pub(crate) next: u32,
    /// Tails with fewer points are carried.
    pub(crate) points_min: usize,
    /// Whether the cycle runs to the end without a pause.
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
        // When short tails fill the memory, they must be sealed too.
        let points_min = if crowded {
            (sealable_points / tails.max(1) / 2).clamp(1, options.chunk_points_min)
        } else {
            options.chunk_points_min
        };
        Self {
            log_end: last_sequence,
            next: 0,
            points_min,
            urgent: false,
        }
    }
}
