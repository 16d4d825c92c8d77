//! Device files over HTTP: uploads, downloads, and what becomes of uploads that are cut.

mod cut_uploads;
mod devices;
mod outage;
mod s3;
mod uploads;
