//! How far a recount has come.

use std::sync::atomic::{AtomicU64, Ordering};

/// A pass over all readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Everything is read, and what cannot be is named.
    Examine,
    /// Timestamps that are written in another way are rewritten.
    Respell,
    /// Everything is counted.
    Count,
    /// Everything is compared with what is kept; the only pass of a check.
    Check,
}

/// Where a recount tells how far it has come: the pass, and how many readings of it.
pub type Progress<'a> = &'a (dyn Fn(Pass, u64) + Send + Sync);

/// One pass, whose segments add to one number.
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
