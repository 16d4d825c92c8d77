//! This replica among the others: the lease of this replica, the liveness of other replicas, and the status of the store.

pub(crate) mod lease;
pub(crate) mod lease_manager;
pub(crate) mod liveness;
pub(crate) mod status;
