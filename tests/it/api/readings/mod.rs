//! Temperature readings over HTTP: single readings, batches, statistics, series and exports.

mod abandoned_reads;
mod batches;
mod export;
mod older;
mod sensors;
mod series;
mod statistics;
mod temperature;
