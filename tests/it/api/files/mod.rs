//! Device files over HTTP: uploads, downloads, and interrupted uploads.

mod cut_uploads;
mod devices;
mod outage;
mod s3;
mod uploads;
