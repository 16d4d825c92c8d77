//! `PUT /api/temperature`: a single reading, in the format of devices in the field.

use fieldstation::readings::Timestamp;
use serde_json::json;

use crate::support::{Answer, Server, reading};

const RECORDED: &str = r#"{"message":"Temperature reading recorded successfully"}"#;
const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn a_reading_is_recorded_and_read_back() {
    let server = Server::start();
    let client = server.client();
    let body = r#"{"sensorId":"202","temperature":18,"timestamp":"2026-11-20T13:00:00"}"#;
    let answer = client
        .put_as("application/json", body)
        .await
        .with_status(200);
    assert_eq!(answer.text().trim_end(), RECORDED);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        client.stats("").await,
        r#"{"Maximum":18,"Minimum":18,"Average":18}"#
    );
    assert_eq!(
        client.everything().await,
        "{\"sensorId\":\"202\",\"timestamp\":\"2026-11-20T13:00:00Z\",\"temperature\":18}\n"
    );
}

#[tokio::test]
async fn every_accepted_spelling_is_one_and_the_same_reading() {
    let server = Server::start();
    let client = server.client();
    let stored = reading("202", "2026-11-20T13:00:00Z", "18.5") + "\n";
    for body in [
        r#"{"sensorId":"202","temperature":18.5,"timestamp":"2026-11-20T13:00:00"}"#,
        r#"{"sensorID":"202","temperature":18.5,"timestamp":"2026-11-20T13:00:00Z"}"#,
        r#"{"sensorId":202,"temperature":18.5,"timestamp":"2026-11-20T13:00:00Z"}"#,
        r#"{"sensorId":"202","temperature":"18.5","timestamp":"2026-11-20T13:00:00Z"}"#,
        r#"{"sensorId":"202","temperature":" +018.50 ","timestamp":"2026-11-20T13:00:00Z"}"#,
        r#"{"sensorId":"202","temperature":1.85e1,"timestamp":"2026-11-20T13:00:00Z"}"#,
        r#"{"sensorId":"202","temperature":18.5,"time":"2026-11-20T13:00:00Z"}"#,
        r#"{"sensorId":"202","temperature":18.5,"timestamp":"2026-11-20 13:00:00"}"#,
        r#"{"sensorId":"202","temperature":18.5,"timestamp":"2026-11-20T13:00"}"#,
        r#"{"sensorId":"202","temperature":18.5,"timestamp":"2026-11-20T14:30:00+01:30"}"#,
        r#"{"sensorId":"202","temperature":18.5,"timestamp":"2026-11-20T13:00:00.0000009Z"}"#,
        r#"{"sensorId":" 202 ","temperature":18.5,"timestamp":" 2026-11-20T13:00:00Z "}"#,
        r#"{"timestamp":"2026-11-20T13:00:00Z","temperature":18.5,"sensorId":"202","battery":[3,{"v":1}]}"#,
        r#"{"sensor_id":"202","temperature":18.5,"timestamp":"2026-11-20T13:00:00Z"}"#,
        r#"{"sensorId":"202","temperature":18.5,"timestamp":"20261120T130000"}"#,
        r#"{"sensorId":"202","temperature":18.5,"timestamp":"20261120T1300Z"}"#,
        r#"{"sensorId":"202","temperature":18.5,"timestamp":"20261120 140000.0+0100"}"#,
        " \r\n{ \"\\u0073ensorId\" : \"20\\u0032\" , \"temperature\" : 18.5 , \"time\" : \"2026-11-20T13:00:00Z\" } ",
    ] {
        let answer = client.put(body).await.with_status(200);
        assert_eq!(answer.text().trim_end(), RECORDED, "{body}");
        assert_eq!(client.everything().await, stored, "{body}");
    }
}

#[tokio::test]
async fn a_form_holds_the_same_fields() {
    let server = Server::start();
    let client = server.client();
    for body in [
        "sensorId=202&temperature=18.5&timestamp=2026-11-20T13%3A00%3A00Z",
        "sensorID=202&temperature=18.5&time=2026-11-20+13:00&battery=3",
        "temperature=18.50&sensorId=%32%30%32&timestamp=2026-11-20T14:00:00%2B01:00",
        // By the rules of forms a plus sign means a space. Before an offset the server still reads a plus sign.
        "sensor_id=202&temperature=18.5&timestamp=2026-11-20T14:00:00+01:00",
        "sensor_id=202&temperature=+18.5&time=2026-11-20+14:00+01:00",
        "sensor_id=202&temperature=18.5&time=20261120T1400+01",
    ] {
        client.put_as(FORM, body).await.with_status(200);
        let stored = reading("202", "2026-11-20T13:00:00Z", "18.5") + "\n";
        assert_eq!(client.everything().await, stored, "{body}");
    }
    for (body, words) in [
        ("temperature=18.5", "sensorId"),
        ("sensorId=202", "temperature"),
        ("sensorId=202&temperature=warm", "warm"),
        ("sensorId=202&sensorID=202&temperature=1", "twice"),
        ("sensor_id=202&sensorID=202&temperature=1", "sensor_id"),
        (
            "sensorId=202&temperature=1&time=2026-11-20+13:0",
            "one digit",
        ),
        ("sensorId=202&temperature=1&temperature=1", "twice"),
        ("", "sensorId"),
    ] {
        let answer = client.put_as(FORM, body).await;
        answer.problem_saying(422, "invalid-reading", &[words]);
    }
    assert_eq!(client.everything().await.lines().count(), 1);
}

#[tokio::test]
async fn arguments_in_the_query_string_are_fields_alone_or_beside_a_body() {
    let server = Server::start();
    let client = server.client();
    let stored = reading("202", "2026-11-20T13:00:00Z", "18.5") + "\n";
    let put = async |query: &str, content_type: Option<&str>, body: &str| {
        let request = client.request("PUT", &format!("/api/temperature?{query}"));
        let request = match content_type {
            Some(content_type) => request.header("content-type", content_type),
            None => request,
        };
        Answer::to(request.body(body.to_owned())).await
    };
    let all = "sensor_id=202&temperature=18.5&timestamp=2026-11-20T14:00:00+01:00";
    for (query, content_type, body) in [
        (all, None, ""),
        (all, Some("application/json"), " \r\n"),
        (all, Some(FORM), ""),
        (all, Some("text/plain"), ""),
        (
            "sensorID=%32%30%32&temperature=18.50&time=2026-11-20+13:00&battery=3",
            None,
            "",
        ),
        (
            "sensorId=202&temperature=%2B18.5&time=20261120T140000%2B0100",
            None,
            "",
        ),
        (
            "sensorId=202",
            None,
            r#"{"temperature":18.5,"time":"2026-11-20 13:00"}"#,
        ),
        (
            "time=20261120T130000",
            Some("application/json"),
            r#"{"sensor_id":202,"temperature":"18.5"}"#,
        ),
        (
            "temperature=18.5",
            Some(FORM),
            r#" {"sensorId":"202","time":"2026-11-20 13:00"}"#,
        ),
        (
            "temperature=18.5",
            Some(FORM),
            "sensorId=202&time=2026-11-20+14:00+01:00",
        ),
        (
            "battery=3",
            None,
            r#"{"sensorId":"202","temperature":18.5,"time":"2026-11-20 13:00"}"#,
        ),
        (
            "",
            Some(FORM),
            "sensorId=202&temperature=18.5&time=2026-11-20+13:00",
        ),
    ] {
        let answer = put(query, content_type, body).await;
        assert_eq!(answer.with_status(200).text(), RECORDED, "{query} {body}");
        assert_eq!(client.everything().await, stored, "{query} {body}");
    }
    for (query, body, words) in [
        ("sensorId=202", "", &["temperature", "missing"][..]),
        ("temperature=1", "", &["sensorId", "missing"]),
        ("temperature=1", "{}", &["sensorId", "missing"]),
        ("sensorId=202&temperature=warm", "", &["warm"]),
        (
            "sensorId=202&sensor_id=202&temperature=1",
            "",
            &["sensorId", "twice"],
        ),
        (
            "sensorId=202&temperature=1&time=2026-11-20T13:00:60",
            "",
            &["second"],
        ),
        // The server cannot know whether the query string or the body is correct.
        (
            "temperature=1",
            r#"{"sensorId":"202","temperature":1}"#,
            &["temperature", "query string", "body"],
        ),
        (
            "sensor_id=202",
            r#"{"sensorID":"202","temperature":1}"#,
            &["sensorId", "query string", "body"],
        ),
    ] {
        let answer = put(query, None, body).await;
        answer.problem_saying(422, "invalid-reading", words);
    }
    let answer = put("sensorId=202", Some(FORM), "sensorId=202&temperature=1").await;
    answer.problem_saying(422, "invalid-reading", &["sensorId", "twice"]);
    let answer = put("sensorId=%ff&temperature=1", None, "").await;
    answer.problem_saying(400, "invalid-parameter", &["UTF-8"]);
    let answer = put("sensorId=202&temperature=1", Some("application/xml"), "").await;
    answer.problem(415, "unsupported-media-type");
    for query in ["", "battery=3"] {
        put(query, None, "")
            .await
            .problem_saying(400, "unreadable-body", &["empty"]);
        put(query, Some(FORM), "")
            .await
            .problem_saying(422, "invalid-reading", &["sensorId"]);
    }
    assert_eq!(client.everything().await, stored);
}

#[tokio::test]
async fn json_with_the_content_type_that_curl_sends_by_itself_is_json() {
    let server = Server::start();
    let client = server.client();
    let body = format!("\n {}", reading("202", "2026-11-20T13:00:00Z", "18"));
    client.put_as(FORM, body).await.with_status(200);
    assert_eq!(
        client.stats("").await,
        r#"{"Maximum":18,"Minimum":18,"Average":18}"#
    );
}

#[tokio::test]
async fn the_content_type_of_json_is_read_generously() {
    let server = Server::start();
    let client = server.client();
    for (n, content_type) in [
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/json;charset=\"UTF-8\"",
    ]
    .into_iter()
    .enumerate()
    {
        let body = reading(&n.to_string(), "2026-11-20T13:00:00Z", "18");
        client.put_as(content_type, body).await.with_status(200);
    }
    assert_eq!(client.everything().await.lines().count(), 3);
}

#[tokio::test]
async fn a_reading_without_a_time_has_the_time_of_receipt() {
    let server = Server::start();
    let client = server.client();
    let before = Timestamp::now();
    for (sensor, body) in [
        ("absent", r#"{"sensorId":"absent","temperature":18}"#),
        (
            "null",
            r#"{"sensorId":"null","temperature":18,"timestamp":null}"#,
        ),
    ] {
        client.put(body).await.with_status(200);
        let summary = client
            .get(&format!("/api/sensors/{sensor}"))
            .await
            .with_status(200);
        let last = summary.json()["last"]
            .as_str()
            .unwrap()
            .parse::<Timestamp>()
            .unwrap();
        assert!((before..=Timestamp::now()).contains(&last), "{last}");
    }
    client
        .put_as(FORM, "sensorId=form&temperature=18")
        .await
        .with_status(200);
    let summary = client
        .get("/api/sensors/form")
        .await
        .with_status(200)
        .json();
    let first = summary["first"]
        .as_str()
        .unwrap()
        .parse::<Timestamp>()
        .unwrap();
    assert!((before..=Timestamp::now()).contains(&first), "{first}");
}

#[tokio::test]
async fn a_reading_sent_again_counts_once() {
    let server = Server::start();
    let client = server.client();
    for temperature in ["10", "20"] {
        let time = format!("2026-11-20T13:00:{temperature}Z");
        client
            .put(reading("a", &time, temperature))
            .await
            .with_status(200);
    }
    for temperature in ["10", "10.0", "1e1", "10.0000001"] {
        let body = reading("a", "2026-11-20T13:00:10Z", temperature);
        client.put(body).await.with_status(200);
        assert_eq!(
            client.stats("").await,
            r#"{"Maximum":20,"Minimum":10,"Average":15}"#
        );
    }
    assert_eq!(client.everything().await.lines().count(), 2);
}

#[tokio::test]
async fn another_temperature_replaces_the_first() {
    let server = Server::start();
    let client = server.client();
    for (temperature, stats) in [
        ("10", r#"{"Maximum":10,"Minimum":10,"Average":10}"#),
        (
            "-4.25",
            r#"{"Maximum":-4.25,"Minimum":-4.25,"Average":-4.25}"#,
        ),
        ("30", r#"{"Maximum":30,"Minimum":30,"Average":30}"#),
    ] {
        client
            .put(reading("a", "2026-11-20T13:00:10Z", temperature))
            .await
            .with_status(200);
        assert_eq!(client.stats("").await, stats);
    }
    assert_eq!(client.everything().await.lines().count(), 1);
}

#[tokio::test]
async fn temperatures_are_exact_decimals() {
    let server = Server::start();
    let client = server.client();
    for (sent, stored) in [
        ("0.1", "0.1"),
        ("-0.0", "0"),
        ("0.0000005", "0"),
        ("0.0000015", "0.000002"),
        ("0.00000250000000000000000000000000000001", "0.000003"),
        ("123456.789012", "123456.789012"),
        ("-273.15", "-273.15"),
        ("1000000", "1000000"),
        ("1e-400", "0"),
        ("0.00001e6", "10"),
    ] {
        client
            .put(reading("a", "2026-11-20T13:00:00Z", sent))
            .await
            .with_status(200);
        let line = reading("a", "2026-11-20T13:00:00Z", stored) + "\n";
        assert_eq!(client.everything().await, line, "{sent}");
    }
}

#[tokio::test]
async fn times_are_exact_to_the_microsecond() {
    let server = Server::start();
    let client = server.client();
    for (n, (sent, stored)) in [
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        (
            "9999-12-31T23:59:59.9999999Z",
            "9999-12-31T23:59:59.999999Z",
        ),
        ("2024-02-29T23:59:59.5-00:30", "2024-03-01T00:29:59.5Z"),
        ("1969-12-31T23:59:59.000001", "1969-12-31T23:59:59.000001Z"),
    ]
    .into_iter()
    .enumerate()
    {
        let sensor = format!("s{n}");
        client
            .put(reading(&sensor, sent, "1"))
            .await
            .with_status(200);
        let line = reading(&sensor, stored, "1") + "\n";
        let stored = client
            .get(&format!("/api/readings?sensorId={sensor}"))
            .await;
        assert_eq!(stored.with_status(200).text(), line, "{sent}");
    }
}

#[tokio::test]
async fn any_text_of_up_to_128_characters_names_a_sensor() {
    let server = Server::start();
    let client = server.client();
    let long = "é".repeat(128);
    for id in [
        &long,
        "a b",
        "../../etc/passwd",
        "%2e%2e",
        "💡",
        "'; DROP TABLE sensors; --",
        "<b>",
        "\"\\",
        "null",
    ] {
        let body = json!({"sensorId": id, "timestamp": "2026-11-20T13:00:00Z", "temperature": 1});
        client.put(body.to_string()).await.with_status(200);
        let listed = client
            .get("/api/sensors?limit=1000")
            .await
            .with_status(200)
            .json();
        let listed = listed["sensors"].as_array().unwrap();
        assert!(
            listed
                .iter()
                .any(|sensor| sensor["sensorId"].as_str() == Some(id))
        );
        // All of ASCII, percent-encoded: no character has a meaning in a path.
        let encoded: String = id.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let summary = client
            .get(&format!("/api/sensors/{encoded}"))
            .await
            .with_status(200);
        assert_eq!(summary.json()["sensorId"].as_str(), Some(id));
    }
}

#[tokio::test]
async fn the_answer_to_a_reading_waits_for_the_disk() {
    let mut server = Server::start();
    let client = server.client();
    for n in 0..20 {
        let body = reading("a", &format!("2026-11-20T13:00:{n:02}Z"), "1");
        client.put(body).await.with_status(200);
    }
    server.kill9();
    let server = server.restart();
    assert_eq!(server.client().everything().await.lines().count(), 20);
}
