//! One reading in separate fields, as in CSV and forms: the same result as from JSON, where JSON can express it.
#![no_main]

use fieldstation::readings::ingest::Item;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|fields: (&str, Option<&str>, &str)| {
    let (sensor_id, timestamp, temperature) = fields;
    let item = Item::from_fields(sensor_id, timestamp, temperature);
    match &item {
        Ok(item) => {
            let time = item.timestamp.map(|time| time.to_string());
            let again = Item::from_fields(sensor_id, time.as_deref(), temperature);
            assert_eq!(again.as_ref(), Ok(item));
        }
        Err(error) => assert!(error.reason().len() < 1000, "an error as long as its cause"),
    }
    // An empty field of CSV is one that is not there; JSON has `null` for that.
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let time = timestamp
        .filter(|text| !text.trim().is_empty())
        .map_or("null".to_owned(), quoted);
    let json = format!(
        "{{\"sensorId\":{},\"timestamp\":{time},\"temperature\":{}}}",
        quoted(sensor_id),
        quoted(temperature)
    );
    assert_eq!(Item::from_json(&json).ok(), item.ok(), "{json}");
});
