//! A row of the ingest log: any bytes with a valid checksum decode or are refused, decoded rows read back unchanged, and a row
//! in the place of another row is refused.
#![no_main]

use fieldstation::readings::embedded::fuzzing::{
    OwnedRun, append_checksum, decode_row, encode_row,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &[u8])| {
    let (sequence, bytes) = input;
    let mut row = bytes.to_vec();
    append_checksum(&mut row, sequence);
    assert_eq!(decode_row(sequence ^ 1, &row), None);
    let Some((carried, readings, replaced)) = decode_row(sequence, &row) else {
        return;
    };
    // A run each, as a moment may come twice in what nobody has encoded.
    let mut runs: Vec<OwnedRun> = readings
        .iter()
        .map(|&(sensor, point)| (sensor, vec![point], Vec::new()))
        .collect();
    for &(at, before) in &replaced {
        let (_, points, run_replaced) = &mut runs[at];
        run_replaced.push((points[0].timestamp, before));
    }
    let encoded = encode_row(sequence, carried, &runs);
    assert_eq!(
        decode_row(sequence, &encoded),
        Some((carried, readings, replaced))
    );
});
