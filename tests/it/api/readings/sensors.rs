//! `GET /api/sensors/{id}` and the readings of a sensor.

use serde_json::json;

use crate::support::{Server, lines, reading};

#[tokio::test]
async fn a_sensor_is_summarised() {
    let server = Server::start();
    let client = server.client();
    for (time, temperature) in [
        ("2026-11-20T13:00:01Z", "28"),
        ("2026-11-20T13:00:02.5Z", "8"),
        ("2026-11-20T13:00:00Z", "-6"),
    ] {
        client
            .put(reading("202", time, temperature))
            .await
            .with_status(200);
    }
    client
        .put(reading("203", "2026-11-20T13:00:00Z", "99"))
        .await
        .with_status(200);
    let answer = client.get("/api/sensors/202").await.with_status(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let expected = json!({
        "sensorId": "202", "count": 3, "minimum": -6, "maximum": 28, "average": 10,
        "first": "2026-11-20T13:00:00Z", "last": "2026-11-20T13:00:02.5Z", "latest": 8,
    });
    assert_eq!(answer.json(), expected);
    assert!(!answer.text().contains("10.0"));
    let listed = client.get("/api/sensors").await.with_status(200).json();
    assert_eq!(listed["sensors"][0], expected);
    assert_eq!(listed["sensors"].as_array().unwrap().len(), 2);
    assert_eq!(listed["next"], json!(null));
}

#[tokio::test]
async fn an_unknown_sensor_is_not_found_by_name() {
    let server = Server::start();
    let client = server.client();
    client
        .put(reading("202", "2026-11-20T13:00:00Z", "1"))
        .await
        .with_status(200);
    for path in [
        "/api/sensors/20",
        "/api/sensors/20/readings",
        "/api/sensors/20/series",
    ] {
        client
            .get(path)
            .await
            .problem_saying(404, "unknown-sensor", &["20"]);
    }
    for path in [
        "/api/sensors/202/other",
        "/api/sensors/202/readings/1",
        "/api/sensors//readings/x",
    ] {
        client.get(path).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn an_id_that_no_sensor_can_have_is_a_bad_request() {
    let server = Server::start();
    let client = server.client();
    for (id, words) in [
        ("%20", "empty"),
        ("%00", "control"),
        ("a%0Ab", "control"),
        ("%ff", "UTF-8"),
        (&"a".repeat(129), "128"),
        (&"a".repeat(5_000), "128"),
    ] {
        for tail in ["", "/readings", "/series"] {
            let answer = client.get(&format!("/api/sensors/{id}{tail}")).await;
            answer.problem_saying(400, "invalid-parameter", &[words]);
        }
    }
}

#[tokio::test]
async fn ids_in_a_path_are_percent_decoded_once() {
    let server = Server::start();
    let client = server.client();
    for id in ["a/b", "a%2Fb", "a+b", "..", "é"] {
        let body = json!({"sensorId": id, "timestamp": "2026-11-20T13:00:00Z", "temperature": 1});
        client.put(body.to_string()).await.with_status(200);
    }
    for (path, id) in [
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("a+b", "a+b"),
        ("a%2Bb", "a+b"),
        ("%C3%A9", "é"),
    ] {
        for tail in ["", "/readings", "/series"] {
            let answer = client
                .get(&format!("/api/sensors/{path}{tail}"))
                .await
                .with_status(200);
            if tail != "/readings" {
                assert_eq!(answer.json()["sensorId"], id, "{path}");
            }
        }
    }
    // A client would resolve the dots; the server must not.
    let answer = crate::support::Raw::exchange(
        server.address(),
        "GET /api/sensors/%2e%2e HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text.contains(r#""sensorId":"..""#), "{answer:?}");
}

#[tokio::test]
async fn readings_of_a_sensor_are_those_of_its_window() {
    let server = Server::start();
    let client = server.client();
    client.store(lines("a", 100) + &lines("b", 100)).await;
    let page = client
        .get("/api/sensors/a/readings?from=2026-11-20T00:00:10Z&to=2026-11-20T00:00:12Z")
        .await
        .with_status(200)
        .json();
    let expected = json!({
        "readings": [
            {"timestamp": "2026-11-20T00:00:10Z", "temperature": 10},
            {"timestamp": "2026-11-20T00:00:11Z", "temperature": 11},
        ],
        "next": null,
    });
    assert_eq!(page, expected);
    let empty = client
        .get("/api/sensors/a/readings?from=2027-01-01T00:00Z")
        .await
        .with_status(200);
    assert_eq!(empty.json(), json!({"readings": [], "next": null}));
    let empty = client
        .get("/api/sensors/a/readings?from=2026-11-20T00:00:12Z&to=2026-11-20T00:00:10Z")
        .await
        .with_status(200);
    assert_eq!(empty.json(), json!({"readings": [], "next": null}));
}
