//! Gives the programs in `fuzz/` access to the codecs. Only built for fuzzing.

use super::format::log_row::{self, Content};
use super::format::{codec, run};
use crate::readings::{Point, Temperature, Timestamp, Window};

/// Encodes points in strictly ascending order of time, at least one.
pub fn encode_run(points: &[Point]) -> Option<Vec<u8>> {
    run::encode_run(points).ok()
}

/// Decodes a run of points; `None` if the bytes are not a run.
pub fn decode_run(bytes: &[u8]) -> Option<Vec<Point>> {
    run::decode_run(bytes).ok()
}

/// Decodes the part of a run that reaches into a window; `None` if the bytes are not a run.
pub fn decode_within(bytes: &[u8], window: Window) -> Option<Vec<Point>> {
    Some(run::decode_within(bytes, window).ok()?.points)
}

/// A sensor's points in strictly ascending order of time, and for some of them, in the same order, the temperature they replace.
pub type OwnedRun = (u32, Vec<Point>, Vec<(Timestamp, Temperature)>);

struct Runs<'a>(&'a [OwnedRun]);

impl log_row::Runs for Runs<'_> {
    fn for_each(&self, visit: &mut dyn FnMut(log_row::Run<'_>)) {
        for (sensor, points, replaced) in self.0 {
            visit(log_row::Run {
                sensor: *sensor,
                points,
                replaced,
            });
        }
    }
}

/// Encodes a row of the log, with the checksum.
pub fn encode_row(sequence: u64, carried: bool, runs: &[OwnedRun]) -> Vec<u8> {
    let content = if carried {
        Content::Carried
    } else {
        Content::New
    };
    log_row::encode_row(sequence, content, &Runs(runs))
}

/// A row of the log: whether the row is carried, the readings, and the index and earlier temperature of each replacing reading.
pub type Row = (bool, Vec<(u32, Point)>, Vec<(usize, Temperature)>);

/// Decodes a row of the log; `None` if the bytes are not a row.
pub fn decode_row(sequence: u64, bytes: &[u8]) -> Option<Row> {
    let mut row = log_row::Row::default();
    log_row::decode_row(sequence, bytes, &mut row).ok()?;
    Some((row.content == Content::Carried, row.readings, row.replaced))
}

/// Appends the checksum for [`decode_row`].
pub fn append_checksum(bytes: &mut Vec<u8>, sequence: u64) {
    codec::append_checksum(bytes, sequence);
}
