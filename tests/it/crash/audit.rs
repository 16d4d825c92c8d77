//! Checks that a store holds exactly the required readings.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use fieldstation::readings::embedded::{self, VerifyReport};
use fieldstation::readings::{Temperature, Timestamp};
use num_bigint::BigInt;
use serde_json::value::RawValue;

use super::keys::Key;
use super::writer::Writer;
use crate::conformance::oracle::{Recount, assert_nearest};
use crate::support::{Answer, Client, Server};

/// A writer's readings, compared with an export.
#[derive(Default)]
struct Found {
    readings: usize,
    /// The first reading different from the acknowledged readings.
    not_as_acknowledged: Option<String>,
    /// The first reading different from the acknowledged readings plus the unanswered request.
    not_as_in_flight: Option<String>,
}

/// Counts the readings repeatedly until the server is gone. Returns the last count. Readings are only added, so at least as many
/// must be stored afterwards: a visible reading is durable.
pub async fn watch(client: &Client) -> usize {
    let mut seen = 0;
    loop {
        let request = client.request("GET", "/api/sensors?limit=1000");
        let Ok(answer) = Answer::try_to(request).await else {
            return seen;
        };
        let listed = answer.with_status(200).json();
        let counts = listed["sensors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|sensor| &sensor["count"]);
        let count = counts.map(|count| count.as_u64().unwrap() as usize).sum();
        assert!(count >= seen, "{count} readings after {seen}");
        seen = count;
    }
}

/// Checks every reading and every statistic. Returns the number of readings.
pub async fn audit(server: &Server, writers: &mut [Writer]) -> usize {
    let client = server.client();
    // The server may listen before recovery has ended.
    client.until_readiness(200).await;
    let export = client
        .get("/api/readings?format=csv")
        .await
        .with_status(200)
        .text();
    let stats = client.stats("").await;
    let mut rows = export.lines();
    assert_eq!(rows.next(), Some("sensorId,timestamp,temperature"));
    let mut found: Vec<_> = writers.iter().map(|_| Found::default()).collect();
    let mut sensors: BTreeMap<String, Vec<(Timestamp, Temperature)>> = BTreeMap::new();
    for row in rows {
        let mut fields = row.split(',');
        let [sensor, timestamp, temperature] = [(); 3].map(|()| fields.next().unwrap());
        let key = Key::of_export(sensor, timestamp);
        let temperature: Temperature = temperature.parse().unwrap();
        found[key.writer()].see(&writers[key.writer()], key, temperature);
        match sensors.get_mut(sensor) {
            Some(readings) => {
                let before = readings.last().map(|(before, _)| *before);
                assert!(
                    before < Some(key.timestamp),
                    "out of order, or twice: {row}"
                );
                readings.push((key.timestamp, temperature));
            }
            None => drop(sensors.insert(sensor.to_owned(), vec![(key.timestamp, temperature)])),
        }
    }
    for (writer, found) in writers.iter_mut().zip(found) {
        found.settle(writer);
    }
    let all: Vec<_> = sensors
        .values()
        .flatten()
        .map(|(_, temperature)| *temperature)
        .collect();
    let recount = Recount::of(all.iter());
    assert_statistics(&object(&stats), &recount, ["Maximum", "Minimum", "Average"]);
    let path = "/api/sensors?limit=1000";
    let listed = client.get(path).await.with_status(200).text();
    let listed: Vec<Object<'_>> = serde_json::from_str(object(&listed)["sensors"].get()).unwrap();
    assert_eq!(listed.len(), sensors.len());
    for summary in listed {
        let sensor: String = serde_json::from_str(summary["sensorId"].get()).unwrap();
        assert_summary(&summary, &sensors[&sensor]);
    }
    recount.count
}

impl Found {
    fn see(&mut self, writer: &Writer, key: Key, temperature: Temperature) {
        self.readings += 1;
        let certain = writer.certain().get(&key);
        let in_flight = writer.in_flight().get(&key).or(certain);
        let wrong = |expected: Option<&Temperature>| {
            (expected != Some(&temperature)).then(|| {
                let expected = expected.map_or("nothing".to_owned(), ToString::to_string);
                format!("{key:?} is {temperature}, and should be {expected}")
            })
        };
        if self.not_as_acknowledged.is_none() {
            self.not_as_acknowledged = wrong(certain);
        }
        if self.not_as_in_flight.is_none() {
            self.not_as_in_flight = wrong(in_flight);
        }
    }

    /// Checks that the store holds the acknowledged readings, with or without all of the unanswered request.
    fn settle(mut self, writer: &mut Writer) {
        let certain = writer.certain().len();
        let new = writer
            .in_flight()
            .keys()
            .filter(|key| !writer.certain().contains_key(*key));
        let with_in_flight = certain + new.count();
        let wrong_count = |expected: usize| {
            (self.readings != expected)
                .then(|| format!("{} readings, and should be {expected}", self.readings))
        };
        let (acknowledged, in_flight) = (wrong_count(certain), wrong_count(with_in_flight));
        self.not_as_acknowledged = self.not_as_acknowledged.or(acknowledged);
        self.not_as_in_flight = self.not_as_in_flight.or(in_flight);
        match (self.not_as_acknowledged, self.not_as_in_flight) {
            (None, _) => writer.settle(false),
            (Some(_), None) => writer.settle(true),
            (Some(acknowledged), Some(in_flight)) => panic!(
                "neither what was acknowledged ({acknowledged}) nor that and what was on its way ({in_flight})"
            ),
        }
    }
}

/// The members of a JSON object as text. Text keeps the exact numbers.
type Object<'a> = HashMap<&'a str, &'a RawValue>;

fn object(text: &str) -> Object<'_> {
    serde_json::from_str(text).unwrap()
}

fn assert_summary(summary: &Object<'_>, readings: &[(Timestamp, Temperature)]) {
    let temperatures: Vec<_> = readings
        .iter()
        .map(|(_, temperature)| *temperature)
        .collect();
    let recount = Recount::of(temperatures.iter());
    assert_eq!(summary["count"].get(), recount.count.to_string());
    assert_statistics(summary, &recount, ["maximum", "minimum", "average"]);
    let ((first, _), (last, latest)) = (readings[0], readings[readings.len() - 1]);
    assert_eq!(summary["first"].get(), format!("\"{first}\""));
    assert_eq!(summary["last"].get(), format!("\"{last}\""));
    assert_eq!(summary["latest"].get(), latest.to_string());
}

fn assert_statistics(body: &Object<'_>, recount: &Recount, keys: [&str; 3]) {
    let [maximum, minimum, average] = keys.map(|key| body[key].get());
    let text = |temperature: Option<Temperature>| {
        temperature.map_or("null".to_owned(), |temperature| temperature.to_string())
    };
    assert_eq!(maximum, text(recount.maximum));
    assert_eq!(minimum, text(recount.minimum));
    if recount.count == 0 {
        assert_eq!(average, "null");
    } else {
        let divisor = BigInt::from(recount.count) * 1_000_000;
        assert_nearest(average.parse().unwrap(), &recount.sum, &divisor);
    }
}

/// Verifies everything on disk, with all checksums.
pub fn verify(data: &Path, writers: &[Writer]) -> VerifyReport {
    let report = embedded::verify(data, &mut |_, _| {}).unwrap();
    assert!(report.is_sound(), "{report:#?}");
    let temperatures: Vec<_> = writers
        .iter()
        .flat_map(|writer| writer.certain().values().copied())
        .collect();
    Recount::of(temperatures.iter()).assert_equals(&report.stats);
    report
}
