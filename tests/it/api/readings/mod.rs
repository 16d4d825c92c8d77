//! Temperature readings over HTTP: one at a time, in batches, as statistics, series and exports.

mod abandoned_reads;
mod batches;
mod export;
mod older;
mod sensors;
mod series;
mod statistics;
mod temperature;
