//! Writes: from a batch in the write queue to a transaction with a known result.

pub(crate) mod changes;
pub(crate) mod cost;
pub(crate) mod group;
pub(crate) mod known_sensor;
pub(crate) mod linger;
pub(crate) mod lookup;
pub(crate) mod plan;
pub(crate) mod queue;
pub(crate) mod send;
pub(crate) mod sensor_limit;
pub(crate) mod submission;
pub(crate) mod transaction;
pub(crate) mod writer;
