//! This replica among others: its lease, which other replicas are alive, and the state of the store.

pub(crate) mod keeper;
pub(crate) mod lease;
pub(crate) mod liveness;
pub(crate) mod status;
