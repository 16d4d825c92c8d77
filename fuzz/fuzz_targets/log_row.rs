//! A row of the ingest log: any bytes with a right checksum decode or are refused, what was decoded reads back as it was, and
//! a row in another's place is refused.
#![no_main]

use fieldstation::readings::Point;
use fieldstation::readings::embedded::fuzzing::{append_checksum, decode_row, encode_row};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &[u8])| {
    let (sequence, bytes) = input;
    let mut row = bytes.to_vec();
    append_checksum(&mut row, sequence);
    assert_eq!(decode_row(sequence ^ 1, &row), None);
    let Some(readings) = decode_row(sequence, &row) else {
        return;
    };
    let runs: Vec<(u32, Vec<Point>)> = readings
        .chunk_by(|one, other| one.0 == other.0)
        .map(|run| (run[0].0, run.iter().map(|(_, point)| *point).collect()))
        .collect();
    let encoded = encode_row(sequence, &runs);
    assert_eq!(decode_row(sequence, &encoded), Some(readings));
});
