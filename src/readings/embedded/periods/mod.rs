//! Totals of all sensors by calendar periods, so that a window over all sensors costs its two ends.
//!
//! `periods` on disk holds, for each day with readings, count, sum and extremes over all sensors. Where readings are dense the
//! day is divided into hours, these into minutes, these into seconds; what is divided is divided as a whole, so that an answer
//! is exact at any resolution. What has been logged since is in memory, by second, and is folded into `periods` by and by.

mod block;
pub(crate) mod changes;
mod check;
mod counting;
mod fold;
pub(crate) mod level;
pub(crate) mod plan;
mod recount;
mod rows;
pub(crate) mod total;

pub(crate) use changes::Uncounted;
pub(crate) use check::check;
pub(crate) use counting::{Counting, Replay, ensure};
