//! `GET /api/sensors/{id}/series`: equal buckets of time, for charts.

use fieldstation::readings::Timestamp;
use serde_json::{Value, json};

use crate::support::{Client, Server, lines, reading};

async fn series(client: &Client, query: &str) -> Value {
    let path = format!("/api/sensors/a/series{query}");
    client.get(&path).await.with_status(200).json()
}

fn micros(value: &Value) -> i64 {
    value
        .as_str()
        .unwrap()
        .parse::<Timestamp>()
        .unwrap()
        .micros()
}

#[tokio::test]
async fn buckets_are_equal_and_hold_their_statistics() {
    let server = Server::start();
    let client = server.client();
    client.store(lines("a", 60)).await;
    let query = "?from=2026-11-20T00:00:00Z&to=2026-11-20T00:01:20Z&points=4";
    let expected = json!({
        "sensorId": "a",
        "from": "2026-11-20T00:00:00Z",
        "to": "2026-11-20T00:01:20Z",
        "series": [
            {"start": "2026-11-20T00:00:00Z", "count": 20, "minimum": 0, "maximum": 19, "average": 9.5},
            {"start": "2026-11-20T00:00:20Z", "count": 20, "minimum": 20, "maximum": 39, "average": 29.5},
            {"start": "2026-11-20T00:00:40Z", "count": 20, "minimum": 40, "maximum": 59, "average": 49.5},
            {"start": "2026-11-20T00:01:00Z", "count": 0, "minimum": null, "maximum": null, "average": null},
        ],
    });
    assert_eq!(series(&client, query).await, expected);
}

#[tokio::test]
async fn each_bucket_equals_the_statistics_of_its_window() {
    let server = Server::start();
    let client = server.client();
    client.store(lines("a", 5000) + &lines("b", 500)).await;
    for query in [
        "?points=7",
        "?points=13&from=2026-11-20T00:01:00.5Z&to=2026-11-20T01:00:01Z",
    ] {
        let answer = series(&client, query).await;
        let buckets = answer["series"].as_array().unwrap();
        let ends = buckets[1..]
            .iter()
            .map(|bucket| &bucket["start"])
            .chain([&answer["to"]]);
        let mut count = 0;
        for (bucket, end) in buckets.iter().zip(ends) {
            let (from, to) = (bucket["start"].as_str().unwrap(), end.as_str().unwrap());
            let stats = client
                .stats(&format!("?sensorId=a&from={from}&to={to}"))
                .await;
            let stats: Value = serde_json::from_str(&stats).unwrap();
            for (name, key) in [
                ("minimum", "Minimum"),
                ("maximum", "Maximum"),
                ("average", "Average"),
            ] {
                assert_eq!(bucket[name], stats[key], "{bucket}");
            }
            count += bucket["count"].as_u64().unwrap();
        }
        assert_eq!(count, if query == "?points=7" { 5000 } else { 3540 });
    }
}

#[tokio::test]
async fn open_ends_are_the_first_reading_and_just_after_the_last() {
    let server = Server::start();
    let client = server.client();
    client.store(lines("a", 1000)).await;
    let answer = series(&client, "").await;
    assert_eq!(answer["from"], "2026-11-20T00:00:00Z");
    assert_eq!(answer["to"], "2026-11-20T00:16:39.000001Z");
    let buckets = answer["series"].as_array().unwrap();
    assert_eq!(buckets.len(), 500);
    let counts: u64 = buckets
        .iter()
        .map(|bucket| bucket["count"].as_u64().unwrap())
        .sum();
    assert_eq!(counts, 1000);
    let starts: Vec<_> = buckets
        .iter()
        .map(|bucket| micros(&bucket["start"]))
        .collect();
    let widths: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (least, most) = (widths.iter().min().unwrap(), widths.iter().max().unwrap());
    assert!(most - least <= 1, "{least} to {most} microseconds");
}

#[tokio::test]
async fn an_empty_window_is_refused_where_buckets_have_no_width() {
    let server = Server::start();
    let client = server.client();
    client
        .put(reading("a", "2026-11-20T13:00:00Z", "1"))
        .await
        .with_status(200);
    for query in [
        "?from=2026-11-20T13:00:00Z&to=2026-11-20T13:00:00Z",
        "?from=2026-11-20T13:00:01Z&to=2026-11-20T13:00:00Z",
    ] {
        let answer = client.get(&format!("/api/sensors/a/series{query}")).await;
        answer.problem_saying(422, "empty-window", &["from", "to"]);
    }
}

#[tokio::test]
async fn the_number_of_points_has_bounds() {
    let server = Server::start();
    let client = server.client();
    client.store(lines("a", 6000)).await;
    for (points, count) in [("1", 1), ("5000", 5000)] {
        let answer = series(&client, &format!("?points={points}")).await;
        assert_eq!(answer["series"].as_array().unwrap().len(), count);
    }
    for points in ["0", "5001", "-5", "x", ""] {
        let answer = client
            .get(&format!("/api/sensors/a/series?points={points}"))
            .await;
        answer.problem_saying(400, "invalid-parameter", &["points", "5000"]);
    }
}
