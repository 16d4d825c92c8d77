//! Comma-separated values: quoted fields read back unchanged, and every row of an arbitrary body is counted.
#![no_main]

use fieldstation::readings::ingest::{BatchParser, Format, Item, Parsed};
use fieldstation::readings::{RecordMode, SensorId};
use libfuzzer_sys::fuzz_target;

fn parse(body: &[u8]) -> Option<Parsed> {
    let mut parser = BatchParser::new(Format::Csv, RecordMode::Partial, 1 << 20);
    parser.push(body).ok()?;
    parser.finish().ok()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fuzz_target!(|input: (&str, &str, &str, &[u8])| {
    let (sensor_id, timestamp, temperature, body) = input;
    let row = [sensor_id, timestamp, temperature].map(quoted).join(",");
    let parsed = parse(format!("sensorId,timestamp,temperature\n{row}\n").as_bytes());
    let parsed = parsed.expect("a header and a row of three fields");
    let item = Item::from_fields(sensor_id, Some(timestamp), temperature).ok();
    let item = item.and_then(|item| {
        Some((
            SensorId::new(&item.sensor_id).ok()?,
            item.timestamp?,
            item.temperature,
        ))
    });
    assert_eq!(parsed.batch.len() as u64 + parsed.rejected, 1);
    match item {
        Some((sensor, timestamp, temperature)) => {
            assert_eq!(parsed.batch.sensors(), [sensor]);
            let point = parsed.batch.readings()[0].point;
            assert_eq!(
                (point.timestamp, point.temperature),
                (timestamp, temperature)
            );
        }
        None => assert_eq!(parsed.rejected, 1, "{row}"),
    }

    // No more items than line breaks after the header.
    if let Some(parsed) = parse(body) {
        let breaks = body
            .iter()
            .filter(|byte| matches!(byte, b'\n' | b'\r'))
            .count();
        assert!(parsed.batch.len() as u64 + parsed.rejected <= breaks as u64);
    }
});
