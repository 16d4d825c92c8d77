//! Totals of all sensors by calendar periods, so that a window over all sensors costs its two ends.
//!
//! `periods` on disk holds, for each day with readings, count, sum and extremes over all sensors. Where readings are dense the
//! day is divided into hours, these into minutes, these into seconds; what is divided is divided as a whole, so that an answer
//! is exact at any resolution. What has been logged since is in memory, by second, and is folded into `periods` by and by.

mod block;
mod changes;
mod check;
mod counting;
mod fold;
mod level;
mod plan;
mod query;
mod recount;
mod rows;
mod total;

pub(crate) use changes::Uncounted;
pub(crate) use check::check;
pub(crate) use counting::{Counted, Counting, Folding, Replay, ensure};
pub(crate) use fold::DayRows;
pub(crate) use query::stats;
