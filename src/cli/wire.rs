//! Readings as the text that a server takes and gives: NDJSON and CSV.

use crate::readings::{Batch, Point};

/// A sensor id as JSON text, quotes included.
pub(super) fn json_id(sensor_id: &str) -> String {
    serde_json::Value::from(sensor_id).to_string()
}

/// Appends one line: an object and a line break.
pub(super) fn write_line(out: &mut Vec<u8>, json_id: &str, point: Point) {
    write_object(out, json_id, point);
    out.push(b'\n');
}

/// Appends one reading as a JSON object.
pub(super) fn write_object(out: &mut Vec<u8>, json_id: &str, point: Point) {
    out.extend_from_slice(b"{\"sensorId\":");
    out.extend_from_slice(json_id.as_bytes());
    out.extend_from_slice(b",\"timestamp\":\"");
    point.timestamp.write_to(out);
    out.extend_from_slice(b"\",\"temperature\":");
    point.temperature.write_to(out);
    out.push(b'}');
}

/// The first row of CSV.
pub(super) const CSV_HEADER: &[u8] = b"sensorId,timestamp,temperature\n";

/// A sensor id as a field of CSV.
pub(super) fn csv_id(sensor_id: &str) -> String {
    if sensor_id.contains(['"', ',']) {
        format!("\"{}\"", sensor_id.replace('"', "\"\""))
    } else {
        sensor_id.to_owned()
    }
}

/// Appends one row of CSV.
pub(super) fn write_row(out: &mut Vec<u8>, csv_id: &str, point: Point) {
    out.extend_from_slice(csv_id.as_bytes());
    out.push(b',');
    point.timestamp.write_to(out);
    out.push(b',');
    point.temperature.write_to(out);
    out.push(b'\n');
}

/// A batch as NDJSON, a line for each reading, in order.
pub(super) fn ndjson(batch: &Batch) -> Vec<u8> {
    const LINE_BYTES_USUAL: usize = 96;
    let ids: Vec<String> = batch
        .sensors()
        .iter()
        .map(|sensor| json_id(sensor.as_str()))
        .collect();
    let mut out = Vec::with_capacity(batch.len() * LINE_BYTES_USUAL);
    for reading in batch.readings() {
        write_line(&mut out, &ids[reading.sensor as usize], reading.point);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::readings::ingest::Item;
    use crate::readings::{BatchBuilder, Temperature, Timestamp};

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            readings in prop::collection::vec(
                (
                    "[^\\p{Cc}\\s]{1,20}",
                    Timestamp::MIN.micros()..=Timestamp::MAX.micros(),
                    Temperature::MIN.micro_degrees()..=Temperature::MAX.micro_degrees(),
                ),
                0..20,
            ),
        ) {
            let mut builder = BatchBuilder::new();
            for (id, micros, micro_degrees) in &readings {
                let point = Point {
                    timestamp: Timestamp::from_micros(*micros).unwrap(),
                    temperature: Temperature::from_micro_degrees(*micro_degrees).unwrap(),
                };
                builder.push(id, point).unwrap();
            }
            let text = String::from_utf8(ndjson(&builder.build())).unwrap();
            prop_assert_eq!(text.lines().count(), readings.len());
            for (line, (id, micros, micro_degrees)) in text.lines().zip(&readings) {
                let item = Item::from_json(line).unwrap();
                prop_assert_eq!(&item.sensor_id, id);
                prop_assert_eq!(item.timestamp.unwrap().micros(), *micros);
                prop_assert_eq!(item.temperature.micro_degrees(), *micro_degrees);
            }
        }
    }
}
