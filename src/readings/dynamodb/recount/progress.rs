//! The progress of a recount.

use std::sync::atomic::{AtomicU64, Ordering};

/// A pass over all readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Reads everything, and names items that cannot be counted.
    Examine,
    /// Rewrites timestamps with another spelling.
    Respell,
    /// Counts everything.
    Count,
    /// Compares everything with the aggregates; the only pass of a check.
    Check,
}

/// Receives the progress of a recount: the pass, and the number of readings read in the pass.
pub type Progress<'a> = &'a (dyn Fn(Pass, u64) + Send + Sync);

/// Counts the readings of a pass, in all segments together.
pub(super) struct Meter<'a> {
    progress: Progress<'a>,
    pass: Pass,
    seen: AtomicU64,
}

impl<'a> Meter<'a> {
    pub(super) fn new(progress: Progress<'a>, pass: Pass) -> Self {
        progress(pass, 0);
        Self {
            progress,
            pass,
            seen: AtomicU64::new(0),
        }
    }

    pub(super) fn add(&self, readings: usize) {
        let readings = readings as u64;
        let seen = self.seen.fetch_add(readings, Ordering::Relaxed) + readings;
        (self.progress)(self.pass, seen);
    }
}
