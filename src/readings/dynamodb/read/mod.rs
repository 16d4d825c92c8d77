//! Reads: statistics from partial aggregates, windows, series and exports from readings.

pub(crate) mod aggregates;
pub(crate) mod export;
pub(crate) mod points;
pub(crate) mod sensors;
pub(crate) mod totals;
pub(crate) mod windows;
