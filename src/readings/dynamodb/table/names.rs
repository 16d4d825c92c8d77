//! The names of the two tables.

/// The names of the two tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableNames {
    /// The table of the readings themselves.
    pub(crate) readings: String,
    /// The table of the aggregates, which are derived from the readings.
    pub(crate) aggregation: String,
}
