//! The data of a sealed chunk: any bytes decode to ordered points or are refused, points read back unchanged, and a decoded
//! part equals the same part of the whole.
#![no_main]

use fieldstation::readings::embedded::fuzzing::{decode_run, decode_within, encode_run};
use fieldstation::readings::{Point, Temperature, Timestamp, Window};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], Vec<(i64, i64)>)| {
    let (bytes, values) = input;
    if let Some(points) = decode_run(bytes) {
        assert!(points.is_sorted_by(|one, other| one.timestamp < other.timestamp));
        check(&points);
        check_parts(bytes, &points);
    }
    let mut points: Vec<_> = values
        .into_iter()
        .filter_map(|(micros, micro_degrees)| {
            Some(Point {
                timestamp: Timestamp::from_micros(micros)?,
                temperature: Temperature::from_micro_degrees(micro_degrees)?,
            })
        })
        .collect();
    points.sort_by_key(|point| point.timestamp);
    points.dedup_by_key(|point| point.timestamp);
    check(&points);
});

fn check(points: &[Point]) {
    if !points.is_empty() {
        let encoded = encode_run(points).expect("points can be encoded");
        assert_eq!(decode_run(&encoded).as_deref(), Some(points));
        check_parts(&encoded, points);
    }
}

fn check_parts(bytes: &[u8], points: &[Point]) {
    for from in [0, points.len() / 3, points.len() - 1] {
        let window = Window {
            from: points.get(from).map(|point| point.timestamp),
            to: points.get(from + 5).map(|point| point.timestamp),
        };
        let part = decode_within(bytes, window).expect("a part of what can be decoded");
        let inside = |point: &&Point| window.contains(point.timestamp);
        assert!(part.iter().filter(inside).eq(points.iter().filter(inside)));
    }
}
