//! Sealing: moves readings from the tails and the log into chunks, a slice with each commit.

mod cycle;
mod neighbours;
pub(crate) mod sealer;
pub(crate) mod slice;
