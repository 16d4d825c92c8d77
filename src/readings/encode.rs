//! Readings as text, NDJSON and CSV. The server exports these formats. The command line sends and exports these formats.

use super::{Batch, ExportBlock, Point};

/// The text format of readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextFormat {
    /// A JSON object on each line.
    Ndjson,
    /// Rows below a header.
    Csv,
}

impl TextFormat {
    /// The text before the first reading.
    pub(crate) const fn header(self) -> &'static [u8] {
        match self {
            Self::Ndjson => b"",
            Self::Csv => b"sensorId,timestamp,temperature\n",
        }
    }

    /// Appends a line for each reading of a block, in order.
    pub(crate) fn write_block(self, out: &mut Vec<u8>, block: &ExportBlock) {
        let sensor_id = block.sensor.as_str();
        match self {
            Self::Ndjson => {
                let json_id = json_id(sensor_id);
                for point in &block.points {
                    write_line(out, &json_id, *point);
                }
            }
            Self::Csv => {
                let field = csv_field(sensor_id);
                for point in &block.points {
                    write_row(out, &field, *point);
                }
            }
        }
    }
}

/// A sensor id as a JSON string, with quotes.
pub(crate) fn json_id(sensor_id: &str) -> String {
    serde_json::Value::from(sensor_id).to_string()
}

/// Appends a reading as a JSON object and a line break.
pub(crate) fn write_line(out: &mut Vec<u8>, json_id: &str, point: Point) {
    write_object(out, json_id, point);
    out.push(b'\n');
}

/// Appends a reading as a JSON object.
pub(crate) fn write_object(out: &mut Vec<u8>, json_id: &str, point: Point) {
    out.extend_from_slice(b"{\"sensorId\":");
    out.extend_from_slice(json_id.as_bytes());
    out.extend_from_slice(b",\"timestamp\":\"");
    point.timestamp.write_to(out);
    out.extend_from_slice(b"\",\"temperature\":");
    point.temperature.write_to(out);
    out.push(b'}');
}

/// A batch as NDJSON, a line for each reading, in order.
pub(crate) fn ndjson(batch: &Batch) -> Vec<u8> {
    const LINE_BYTES_USUAL: usize = 96;
    let json_ids: Vec<String> = batch
        .sensors()
        .iter()
        .map(|sensor| json_id(sensor.as_str()))
        .collect();
    let mut out = Vec::with_capacity(batch.len() * LINE_BYTES_USUAL);
    for reading in batch.readings() {
        write_line(&mut out, &json_ids[reading.sensor as usize], reading.point);
    }
    out
}

fn write_row(out: &mut Vec<u8>, csv_field: &str, point: Point) {
    out.extend_from_slice(csv_field.as_bytes());
    out.push(b',');
    point.timestamp.write_to(out);
    out.push(b',');
    point.temperature.write_to(out);
    out.push(b'\n');
}

/// A text as a field of CSV, in quotes where RFC 4180 asks for them.
fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::readings::ingest::{BatchParser, Format};
    use crate::readings::{BatchBuilder, RecordMode, SensorId, Temperature, Timestamp};

    #[test]
    fn csv_fields_are_quoted_where_they_must_be() {
        for (text, field) in [("a b", "a b"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\"")] {
            assert_eq!(csv_field(text), field);
        }
    }

    /// The sensor ids and the readings that the server reads from a text.
    fn read(format: Format, text: &[u8]) -> Vec<(String, Point)> {
        let mut parser = BatchParser::new(format, RecordMode::AllOrNothing, 1 << 20);
        parser.push(text).unwrap();
        let batch = parser.finish().unwrap().batch;
        let readings = batch.readings().iter();
        readings
            .map(|reading| {
                let sensor = &batch.sensors()[reading.sensor as usize];
                (sensor.as_str().to_owned(), reading.point)
            })
            .collect()
    }

    fn point() -> impl Strategy<Value = Point> {
        let micros = Timestamp::MIN.micros()..=Timestamp::MAX.micros();
        let micro_degrees = Temperature::MIN.micro_degrees()..=Temperature::MAX.micro_degrees();
        (micros, micro_degrees).prop_map(|(micros, micro_degrees)| Point {
            timestamp: Timestamp::from_micros(micros).unwrap(),
            temperature: Temperature::from_micro_degrees(micro_degrees).unwrap(),
        })
    }

    const ID: &str = "[^\\p{Cc}\\s]{1,20}";

    proptest! {
        #[test]
        fn a_batch_written_as_ndjson_is_read_back(
            readings in prop::collection::vec((ID, point()), 0..20),
        ) {
            let mut builder = BatchBuilder::new();
            for (id, point) in &readings {
                builder.push(id, *point).unwrap();
            }
            prop_assert_eq!(read(Format::Ndjson, &ndjson(&builder.build())), readings);
        }

        #[test]
        fn an_exported_block_is_read_back(
            id in ID,
            points in prop::collection::vec(point(), 0..20),
        ) {
            let block = ExportBlock { sensor: SensorId::new(&id).unwrap(), points };
            let expected: Vec<_> =
                block.points.iter().map(|point| (id.clone(), *point)).collect();
            for (export, format) in
                [(TextFormat::Ndjson, Format::Ndjson), (TextFormat::Csv, Format::Csv)]
            {
                let mut text = export.header().to_vec();
                export.write_block(&mut text, &block);
                prop_assert_eq!(read(format, &text), expected.clone());
            }
        }
    }
}
