//! The codecs as `fuzz/` sees them; exists only when it is what is built.

use super::{codec, log, run};
use crate::readings::{Point, Window};

/// Encodes points in strictly ascending order of time, at least one.
pub fn encode_run(points: &[Point]) -> Option<Vec<u8>> {
    run::encode_run(points).ok()
}

/// Decodes a run of points; `None` for anything that is none.
pub fn decode_run(bytes: &[u8]) -> Option<Vec<Point>> {
    run::decode_run(bytes).ok()
}

/// Decodes the part of a run that reaches into a window; `None` for anything that is no run.
pub fn decode_within(bytes: &[u8], window: Window) -> Option<Vec<Point>> {
    Some(run::decode_within(bytes, window).ok()?.points)
}

/// Encodes a row of the log, its checksum included.
pub fn encode_row(sequence: u64, runs: &[(u32, Vec<Point>)]) -> Vec<u8> {
    log::encode_row(sequence, runs)
}

/// Decodes a row of the log; `None` for anything that is none.
pub fn decode_row(sequence: u64, bytes: &[u8]) -> Option<Vec<(u32, Point)>> {
    let mut readings = Vec::new();
    let count = log::decode_row(sequence, bytes, &mut |sensor, point| {
        readings.push((sensor, point));
    });
    assert_eq!(count.ok()?, readings.len() as u64);
    Some(readings)
}

/// Appends the checksum that [`decode_row`] asks for.
pub fn append_checksum(bytes: &mut Vec<u8>, sequence: u64) {
    codec::append_checksum(bytes, sequence);
}
