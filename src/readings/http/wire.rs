//! How the words of the domain look in JSON.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::http::json::{write_integer, write_number, write_string};
use crate::http::{Problem, Query};
use crate::readings::{Bucket, Point, SensorId, SensorSummary, Stats, Timestamp, Window};

pub(super) fn json(body: impl Into<axum::body::Body>) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], body.into()).into_response()
}

/// `{"Maximum":28,"Minimum":-6,"Average":10}`, `null` for what there is not: these three are what existing clients read.
pub(super) fn write_totals(out: &mut Vec<u8>, stats: &Stats) {
    out.extend_from_slice(b"{\"Maximum\":");
    write_or_null(out, stats.maximum(), |out, value| value.write_to(out));
    out.extend_from_slice(b",\"Minimum\":");
    write_or_null(out, stats.minimum(), |out, value| value.write_to(out));
    out.extend_from_slice(b",\"Average\":");
    write_or_null(out, stats.average(), write_number);
    out.push(b'}');
}

/// `"count":3,"minimum":-6,"maximum":28,"average":10`
fn write_stats(out: &mut Vec<u8>, stats: &Stats) {
    out.extend_from_slice(b"\"count\":");
    write_integer(out, stats.count());
    out.extend_from_slice(b",\"minimum\":");
    write_or_null(out, stats.minimum(), |out, value| value.write_to(out));
    out.extend_from_slice(b",\"maximum\":");
    write_or_null(out, stats.maximum(), |out, value| value.write_to(out));
    out.extend_from_slice(b",\"average\":");
    write_or_null(out, stats.average(), write_number);
}

pub(super) fn write_summary(out: &mut Vec<u8>, summary: &SensorSummary) {
    out.extend_from_slice(b"{\"sensorId\":");
    write_string(out, summary.sensor.as_str());
    out.push(b',');
    write_stats(out, &summary.stats);
    out.extend_from_slice(b",\"first\":");
    write_time(out, summary.first);
    out.extend_from_slice(b",\"last\":");
    write_time(out, summary.last);
    out.extend_from_slice(b",\"latest\":");
    summary.latest.write_to(out);
    out.push(b'}');
}

pub(super) fn write_bucket(out: &mut Vec<u8>, bucket: &Bucket) {
    out.extend_from_slice(b"{\"start\":");
    write_time(out, bucket.start);
    out.push(b',');
    write_stats(out, &bucket.stats);
    out.push(b'}');
}

/// `{"timestamp":"…","temperature":21.5}`
pub(super) fn write_point(out: &mut Vec<u8>, point: &Point) {
    out.extend_from_slice(b"{\"timestamp\":");
    write_time(out, point.timestamp);
    out.extend_from_slice(b",\"temperature\":");
    point.temperature.write_to(out);
    out.push(b'}');
}

/// A timestamp as a JSON string: nothing in it needs an escape.
pub(super) fn write_time(out: &mut Vec<u8>, time: Timestamp) {
    out.push(b'"');
    time.write_to(out);
    out.push(b'"');
}

/// `"name":[…],"next":…` around items.
pub(super) fn write_page<T>(
    out: &mut Vec<u8>,
    name: &str,
    items: &[T],
    next: Option<&str>,
    write: impl Fn(&mut Vec<u8>, &T),
) {
    write_list(out, name, items, write);
    out.push(b',');
    write_key(out, "next");
    write_or_null(out, next, write_string);
}

pub(super) fn write_list<T>(
    out: &mut Vec<u8>,
    name: &str,
    items: &[T],
    write: impl Fn(&mut Vec<u8>, &T),
) {
    write_key(out, name);
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

pub(super) fn write_key(out: &mut Vec<u8>, key: &str) {
    write_string(out, key);
    out.push(b':');
}

fn write_or_null<T>(out: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => write(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

/// The window of `from` and `to`.
pub(super) fn window(query: &Query) -> Result<Window, Problem> {
    Ok(Window {
        from: query.time("from")?,
        to: query.time("to")?,
    })
}

/// The sensor of `sensorId`, if it is given.
pub(super) fn sensor_parameter(query: &Query) -> Result<Option<SensorId>, Problem> {
    query
        .get("sensorId")
        .map(|text| sensor_id("sensorId", text))
        .transpose()
}

/// A sensor id from the query or the path.
pub(super) fn sensor_id(name: &str, text: &str) -> Result<SensorId, Problem> {
    SensorId::new(text).map_err(|error| Problem::parameter(name, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::Temperature;

    fn temperature(text: &str) -> Temperature {
        text.parse().unwrap()
    }

    #[test]
    fn statistics_are_short_numbers_or_null() {
        let written = |stats: &Stats| {
            let mut out = Vec::new();
            write_totals(&mut out, stats);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            written(&Stats::EMPTY),
            r#"{"Maximum":null,"Minimum":null,"Average":null}"#
        );
        let stats: Stats = ["28", "-6", "8"].into_iter().map(temperature).collect();
        assert_eq!(
            written(&stats),
            r#"{"Maximum":28,"Minimum":-6,"Average":10}"#
        );
        let stats: Stats = ["0.1", "0.2"].into_iter().map(temperature).collect();
        assert_eq!(
            written(&stats),
            r#"{"Maximum":0.2,"Minimum":0.1,"Average":0.15}"#
        );
    }
}
