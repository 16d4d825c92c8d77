//! Lines of JSON: each line that is not blank gives one reading or one rejection, the same as the line alone.
#![no_main]

use fieldstation::readings::ingest::{BatchParser, Format, Item};
use fieldstation::readings::{RecordMode, SensorId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &str| {
    // At the start of a body it is a byte order mark, which a line alone does not have.
    if body.starts_with('\u{feff}') {
        return;
    }
    let mut parser = BatchParser::new(Format::Ndjson, RecordMode::Partial, 1 << 20);
    parser.push(body.as_bytes()).unwrap();
    let parsed = parser.finish().unwrap();
    let mut readings = parsed.batch.readings().iter().enumerate();
    let mut rejected = 0;
    for (index, line) in body.split('\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let position = index as u64 + 1;
        let item = Item::from_json(line).ok();
        let item = item.and_then(|item| {
            Some((
                SensorId::new(&item.sensor_id).ok()?,
                item.timestamp?,
                item.temperature,
            ))
        });
        match item {
            Some((sensor, timestamp, temperature)) => {
                let (index, reading) = readings.next().expect("a reading for each good line");
                assert_eq!(parsed.position(index), position);
                assert_eq!(parsed.batch.sensors()[reading.sensor as usize], sensor);
                assert_eq!(reading.point.timestamp, timestamp);
                assert_eq!(reading.point.temperature, temperature);
            }
            None => {
                if let Some(rejection) = parsed.rejections.get(rejected) {
                    assert_eq!(rejection.position, position);
                }
                rejected += 1;
            }
        }
    }
    assert!(readings.next().is_none(), "a reading that no line holds");
    assert_eq!(parsed.rejected, rejected as u64);
});
