//! Totals of all sensors by calendar periods. A window over all sensors reads whole periods, and single readings only at the two
//! ends of the window.
//!
//! The table `periods` holds, for each day with readings, the count, sum and extremes over all sensors. Where readings are dense,
//! a day is divided into hours, an hour into minutes, a minute into seconds. A divided period is divided completely, so an answer
//! is exact at any resolution. Changes logged since then are in memory, by second, and are folded into the table little by
//! little.

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
