//! One reading in JSON: the fast path for plain text gives the same result as the general path, and only JSON is accepted.
#![no_main]

use fieldstation::readings::ingest::Item;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

/// White space as JSON has it, which is less than Unicode has.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

fuzz_target!(|text: &str| {
    let item = Item::from_json(text);
    if item.is_ok() {
        assert!(
            serde_json::from_str::<IgnoredAny>(text).is_ok(),
            "taken, and not JSON"
        );
        assert!(text.trim_start_matches(SPACE).starts_with('{'));
    }
    if let Err(error) = &item {
        assert!(!error.reason().is_empty());
        assert!(error.reason().len() < 1000, "an error as long as its cause");
    }
    // A field that is ignored sends it down the general path, and changes nothing.
    if let Some(rest) = text.trim_start_matches(SPACE).strip_prefix('{')
        && !rest.trim_start_matches(SPACE).starts_with('}')
    {
        let general = format!("{{\"extra\":[0],{rest}");
        let general = Item::from_json(&general);
        assert_eq!(general.as_ref().ok(), item.as_ref().ok());
        assert_eq!(
            general.map_err(|error| (error.field(), error.is_syntax())),
            item.clone()
                .map_err(|error| (error.field(), error.is_syntax())),
        );
    }
    // What was read can be sent again and reads the same.
    if let Ok(item) = item {
        let id = serde_json::to_string(&item.sensor_id).unwrap();
        let time = item
            .timestamp
            .map_or("null".to_owned(), |time| format!("\"{time}\""));
        let again = format!(
            "{{\"sensorId\":{id},\"timestamp\":{time},\"temperature\":{}}}",
            item.temperature
        );
        assert_eq!(
            Item::from_json(&again).as_ref(),
            Ok(&item),
            "sent again as {again}"
        );
    }
});
