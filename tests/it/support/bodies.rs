//! Bodies of requests.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// A reading as a JSON object.
pub fn reading(sensor: &str, timestamp: &str, temperature: &str) -> String {
    format!(r#"{{"sensorId":"{sensor}","timestamp":"{timestamp}","temperature":{temperature}}}"#)
}

/// `count` lines of JSON: a reading per second of a sensor from 2026-11-20T00:00:00Z on. The temperatures repeat from 0 to 99.
pub fn lines(sensor: &str, count: usize) -> String {
    (0..count)
        .map(|n| {
            let (day, hour, minute, second) = (20 + n / 86_400, n / 3600 % 24, n / 60 % 60, n % 60);
            let timestamp = format!("2026-11-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
            reading(sensor, &timestamp, &(n % 100).to_string()) + "\n"
        })
        .collect()
}

pub fn gzip(body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body.as_ref()).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(body: impl AsRef<[u8]>) -> Vec<u8> {
    zstd::encode_all(body.as_ref(), 3).unwrap()
}
