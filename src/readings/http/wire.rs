//! The JSON of readings, statistics and sensors.

use crate::http::json::{
    write_array, write_integer, write_key, write_number, write_or_null, write_string,
    write_timestamp,
};
use crate::readings::{Bucket, Point, SensorSummary, Stats};

/// `{"Maximum":28,"Minimum":-6,"Average":10}`, `null` for each without readings. Existing clients read these three members.
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
    write_timestamp(out, summary.first);
    out.extend_from_slice(b",\"last\":");
    write_timestamp(out, summary.last);
    out.extend_from_slice(b",\"latest\":");
    summary.latest.write_to(out);
    out.push(b'}');
}

pub(super) fn write_bucket(out: &mut Vec<u8>, bucket: &Bucket) {
    out.extend_from_slice(b"{\"start\":");
    write_timestamp(out, bucket.start);
    out.push(b',');
    write_stats(out, &bucket.stats);
    out.push(b'}');
}

/// `{"timestamp":"…","temperature":21.5}`
pub(super) fn write_point(out: &mut Vec<u8>, point: &Point) {
    out.extend_from_slice(b"{\"timestamp\":");
    write_timestamp(out, point.timestamp);
    out.extend_from_slice(b",\"temperature\":");
    point.temperature.write_to(out);
    out.push(b'}');
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

/// `"name":[…]`
pub(super) fn write_list<T>(
    out: &mut Vec<u8>,
    name: &str,
    items: &[T],
    write: impl Fn(&mut Vec<u8>, &T),
) {
    write_key(out, name);
    write_array(out, items, write);
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
