//! Device files over HTTP: uploads, downloads, and uploads that are cut off.

mod cut_uploads;
mod devices;
mod outage;
mod s3;
mod uploads;
