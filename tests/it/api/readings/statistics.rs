//! `GET /api/stats`: exact, in whatever order the readings arrive.

use std::sync::Arc;

use fieldstation::readings::Temperature;
use num_bigint::BigInt;

use crate::conformance::oracle::{Recount, assert_nearest};
use crate::support::{Random, Server, lines, reading};

const NOTHING: &str = r#"{"Maximum":null,"Minimum":null,"Average":null}"#;

/// Asserts that a body has the statistics of these temperatures: the extremes, and the double nearest to the exact average, all in
/// their shortest spelling.
#[track_caller]
fn assert_statistics(body: &str, temperatures: &[&str], what: &str) {
    let temperatures: Vec<Temperature> = temperatures
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    let expected = Recount::of(temperatures.iter());
    let average = body
        .rsplit(':')
        .next()
        .and_then(|text| text.strip_suffix('}'));
    let average: f64 = average.unwrap().parse().unwrap();
    let count = BigInt::from(expected.count);
    assert_nearest(average, &expected.sum, &(count * 1_000_000));
    let (maximum, minimum) = (expected.maximum.unwrap(), expected.minimum.unwrap());
    let shortest = format!(r#"{{"Maximum":{maximum},"Minimum":{minimum},"Average":{average}}}"#);
    assert_eq!(body, shortest, "{what}");
}

#[tokio::test]
async fn without_readings_all_three_are_null() {
    let server = Server::start();
    let client = server.client();
    let answer = client.get("/api/stats").await.with_status(200);
    assert_eq!(answer.text(), NOTHING);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    client
        .put(reading("a", "2026-11-20T13:00:00Z", "1"))
        .await
        .with_status(200);
    assert_eq!(client.stats("?sensorId=b").await, NOTHING);
    assert_eq!(client.stats("?from=2026-11-20T13:00:01Z").await, NOTHING);
    assert_eq!(client.stats("?to=2026-11-20T13:00:00Z").await, NOTHING);
}

#[tokio::test]
async fn numbers_are_as_short_as_they_can_be() {
    let server = Server::start();
    let client = server.client();
    let batch = [("1", "28"), ("2", "-6"), ("3", "8.0")]
        .map(|(second, temperature)| {
            reading("a", &format!("2026-11-20T13:00:0{second}Z"), temperature)
        })
        .join("\n");
    client.store(batch).await;
    assert_eq!(
        client.stats("").await,
        r#"{"Maximum":28,"Minimum":-6,"Average":10}"#
    );
}

#[tokio::test]
async fn the_average_is_the_double_nearest_to_the_exact_quotient() {
    let server = Server::start();
    let client = server.client();
    for (sensor, temperatures) in [
        ("thirds", &["0.1", "0.1", "0.2"][..]),
        ("cancels", &["1000000", "-273.15", "0.000001", "-0.000001"]),
        ("small", &["0.000001", "0", "0"]),
        (
            "same",
            &["21.7", "21.7", "21.7", "21.7", "21.7", "21.7", "21.7"],
        ),
    ] {
        let batch: Vec<_> = temperatures
            .iter()
            .enumerate()
            .map(|(n, temperature)| {
                reading(sensor, &format!("2026-11-20T13:00:{n:02}Z"), temperature)
            })
            .collect();
        client.store(batch.join("\n")).await;
        let stats = client.stats(&format!("?sensorId={sensor}")).await;
        assert_statistics(&stats, temperatures, sensor);
    }
    let same = client.stats("?sensorId=same").await;
    assert_eq!(same, r#"{"Maximum":21.7,"Minimum":21.7,"Average":21.7}"#);
}

#[tokio::test]
async fn windows_are_half_open_and_of_one_sensor_or_all() {
    let server = Server::start();
    let client = server.client();
    for (sensor, second, temperature) in [
        ("a", 10, "1"),
        ("a", 20, "2"),
        ("b", 20, "4"),
        ("b", 30, "8"),
    ] {
        let body = reading(sensor, &format!("2026-11-20T13:00:{second}Z"), temperature);
        client.put(body).await.with_status(200);
    }
    let at = |second: &str| format!("2026-11-20T13:00:{second}Z");
    for (query, temperatures) in [
        (String::new(), &["1", "2", "4", "8"][..]),
        (format!("?from={}&to={}", at("20"), at("30")), &["2", "4"]),
        (format!("?from={}&to={}", at("10"), at("20")), &["1"]),
        (format!("?to={}", at("20.000001")), &["1", "2", "4"]),
        (format!("?from={}", at("20.000001")), &["8"]),
        (format!("?sensorId=a&from={}", at("11")), &["2"]),
        (format!("?sensorId=b&to={}", at("30")), &["4"]),
        ("?sensorId=a".to_owned(), &["1", "2"]),
        // Other spellings of a timestamp. The plus sign of an offset is encoded, or is not encoded, as by most clients.
        (
            "?from=2026-11-20T14:00:20%2B01:00&to=2026-11-20T14:00:30%2B01:00".to_owned(),
            &["2", "4"],
        ),
        (
            "?from=2026-11-20T14:00:20+01:00&to=2026-11-20%2013:00:30".to_owned(),
            &["2", "4"],
        ),
        (
            "?from=2026-11-20T13:00&to=2026-11-20+13:01".to_owned(),
            &["1", "2", "4", "8"],
        ),
    ] {
        assert_statistics(&client.stats(&query).await, temperatures, &query);
    }
    for query in [
        format!("?from={}&to={}", at("20"), at("20")),
        format!("?from={}&to={}", at("30"), at("10")),
    ] {
        assert_eq!(client.stats(&query).await, NOTHING, "{query}");
    }
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_refused_by_name() {
    let server = Server::start();
    let client = server.client();
    client
        .put(reading("a", "2026-11-20T13:00:00Z", "1"))
        .await
        .with_status(200);
    let id_too_long = format!("?sensorId={}", "a".repeat(129));
    for (query, words) in [
        ("?from=yesterday", &["from", "yesterday"][..]),
        ("?to=2026-02-30T00:00:00Z", &["to", "day"]),
        ("?from=2026-11-20T13:00:60Z", &["from", "second"]),
        ("?from=", &["from"]),
        ("?sensor=a", &["sensor", "sensorId"]),
        ("?sensorId=a&sensorId=a", &["sensorId", "twice"]),
        ("?sensorId=", &["sensorId", "empty"]),
        ("?sensorId=%00", &["sensorId", "control"]),
        ("?sensorId=%ff", &["UTF-8"]),
        (&id_too_long, &["sensorId", "128"]),
    ] {
        let answer = client.get(&format!("/api/stats{query}")).await;
        answer.problem_saying(400, "invalid-parameter", words);
        assert!(!answer.text().contains("Maximum"), "{query}");
    }
}

#[tokio::test]
async fn the_order_of_arrival_changes_no_byte() {
    let server = Server::start();
    let client = server.client();
    let mut random = Random::new(20_261_120);
    let readings: Vec<(u64, String)> = (0..60)
        .map(|n| {
            let micro_degrees = random.below(400_000_000_000) as i64 - 273_150_000;
            (
                n,
                Temperature::from_micro_degrees(micro_degrees)
                    .unwrap()
                    .to_string(),
            )
        })
        .collect();
    let mut answers = Vec::new();
    for round in 0..8 {
        let sensor = format!("round{round}");
        let mut shuffled = readings.clone();
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, random.below(at as u64 + 1) as usize);
        }
        // Sends single readings, a few readings at a time, or all readings at once.
        for part in shuffled.chunks([1, 7, 60][round % 3]) {
            let part: Vec<_> = part
                .iter()
                .map(|(n, temperature)| {
                    reading(&sensor, &format!("2026-11-20T13:00:{n:02}Z"), temperature)
                })
                .collect();
            client.store(part.join("\n")).await;
        }
        answers.push(client.stats(&format!("?sensorId={sensor}")).await);
        // The same readings eight times have the same average.
        answers.push(client.stats("").await);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:#?}");
}

#[tokio::test]
async fn a_restart_changes_no_byte() {
    let server = Server::start();
    let client = server.client();
    client.store(lines("a", 5000)).await;
    client.store(lines("b", 77)).await;
    let query = "?from=2026-11-20T00:10:00Z&to=2026-11-20T00:59:59Z";
    let before = (
        client.stats("").await,
        client.stats(query).await,
        client.everything().await,
    );
    let mut server = server;
    for kill in [false, true, false] {
        if kill {
            server.kill9();
            server = server.restart();
        } else {
            let directory = Arc::clone(server.directory());
            assert_eq!(server.stop().code, Some(0));
            server = Server::try_in(&directory, &[]).unwrap();
        }
        let client = server.client();
        let after = (
            client.stats("").await,
            client.stats(query).await,
            client.everything().await,
        );
        assert_eq!(after, before);
    }
}
