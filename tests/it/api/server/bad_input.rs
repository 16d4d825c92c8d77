//! The server refuses bad readings with a status and words that name the mistake, and stores nothing.

use crate::support::{Client, Server, reading};

const NDJSON: &str = "application/x-ndjson";

/// A server with a stored reading. So a test would also notice a loss.
pub(super) struct SeededServer {
    server: Server,
    pub(super) client: Client,
    before: (String, String),
}

impl SeededServer {
    pub(super) async fn new() -> Self {
        let server = Server::start();
        let client = server.client();
        client
            .put(reading("before", "2026-11-20T13:00:00Z", "21.5"))
            .await
            .with_status(200);
        let before = Self::state(&client).await;
        Self {
            server,
            client,
            before,
        }
    }

    async fn state(client: &Client) -> (String, String) {
        (client.everything().await, client.stats("").await)
    }

    /// Sends a body alone, and as a line of a batch after a good line. The server refuses both, with words that name the mistake.
    async fn refuses(&self, body: impl Into<Vec<u8>>, status: u16, words: &[&str]) {
        let body = body.into();
        self.refuses_alone(body.clone(), status, words).await;
        let mut batch = (reading("good", "2026-11-20T13:00:00Z", "1") + "\n").into_bytes();
        batch.extend_from_slice(&body);
        let answer = self.client.post("", NDJSON, batch).await;
        let mut words = words.to_vec();
        words.push(r#""line":2"#);
        answer.problem_saying(422, "invalid-batch", &words);
        self.assert_unchanged().await;
    }

    async fn refuses_alone(&self, body: impl Into<Vec<u8>>, status: u16, words: &[&str]) {
        let answer = self.client.put_as("application/json", body.into()).await;
        let slug = if status == 400 {
            "unreadable-body"
        } else {
            "invalid-reading"
        };
        answer.problem_saying(status, slug, words);
        self.assert_unchanged().await;
    }

    pub(super) async fn assert_unchanged(&self) {
        assert_eq!(Self::state(&self.client).await, self.before);
    }
}

#[tokio::test]
async fn what_is_not_json() {
    let seeded = SeededServer::new().await;
    for (body, words) in [
        ("temperature=18", &["JSON"][..]),
        ("{", &["JSON", "column 1"]),
        (r#"{"sensorId":"a","temperature":18"#, &["JSON"]),
        (
            r#"{"sensorId":"a","temperature":18}}"#,
            &["JSON", "trailing"],
        ),
        (
            r#"{"sensorId":"a","temperature":18} {"sensorId":"b","temperature":18}"#,
            &["trailing"],
        ),
        (r"{'sensorId':'a','temperature':18}", &["JSON"]),
        (r#"{"sensorId":"a","temperature":18,}"#, &["JSON"]),
        (r#"{"sensorId":"a","temperature":018}"#, &["JSON"]),
        (r#"{"sensorId":"a","temperature":.5}"#, &["JSON"]),
        ("\u{0}", &["JSON"]),
        ("<xml/>", &["JSON"]),
    ] {
        seeded.refuses(body, 400, words).await;
    }
    for body in ["", " \n"] {
        seeded.refuses_alone(body, 400, &["empty"]).await;
    }
}

#[tokio::test]
async fn values_of_a_wrong_type() {
    let seeded = SeededServer::new().await;
    for (body, words) in [
        (r#"["a",18]"#, &["object"][..]),
        (r#""a""#, &["object"]),
        ("18", &["object"]),
        ("null", &["object", "null"]),
        (r#"{"sensorId":"a"}"#, &["temperature", "missing"]),
        (r#"{"temperature":18}"#, &["sensorId", "missing"]),
        (
            r#"{"SensorId":"a","temperature":18}"#,
            &["sensorId", "missing"],
        ),
        (
            r#"{"sensorId":null,"temperature":18}"#,
            &["sensorId", "null"],
        ),
        (
            r#"{"sensorId":true,"temperature":18}"#,
            &["sensorId", "true"],
        ),
        (r#"{"sensorId":["a"],"temperature":18}"#, &["sensorId"]),
        (r#"{"sensorId":{"a":1},"temperature":18}"#, &["sensorId"]),
        (
            r#"{"sensorId":"a","temperature":null}"#,
            &["temperature", "null"],
        ),
        (
            r#"{"sensorId":"a","temperature":true}"#,
            &["temperature", "true"],
        ),
        (r#"{"sensorId":"a","temperature":[18]}"#, &["temperature"]),
        (r#"{"sensorId":"a","temperature":{}}"#, &["temperature"]),
        (
            r#"{"sensorId":"a","temperature":18,"timestamp":1763643600}"#,
            &["timestamp", "1763643600"],
        ),
        (
            r#"{"sensorId":"a","temperature":18,"timestamp":true}"#,
            &["timestamp"],
        ),
        (
            r#"{"sensorId":"a","temperature":18,"timestamp":{}}"#,
            &["timestamp"],
        ),
    ] {
        seeded.refuses(body, 422, words).await;
    }
}

#[tokio::test]
async fn temperatures_that_are_none() {
    let seeded = SeededServer::new().await;
    let digits = "9".repeat(400);
    for (temperature, words) in [
        (r#""NaN""#, &["NaN"][..]),
        (r#""Infinity""#, &["Infinity"]),
        (r#""-inf""#, &["-inf"]),
        (r#""warm""#, &["warm"]),
        (r#""18,5""#, &["18,5"]),
        (r#""18 C""#, &["18 C"]),
        (r#""0x12""#, &["0x12"]),
        (r#""１８""#, &["１８"]),
        (r#""""#, &["missing"]),
        (r#""--1""#, &["--1"]),
        (r#""1e""#, &["1e"]),
        ("1e400", &["1e400", "-273.15"]),
        ("-1e400", &["-1e400", "-273.15"]),
        (r#""1e99999999999999999999""#, &["1e99999999999999999999"]),
        ("-273.1500005000000001", &["-273.15"]),
        ("-274", &["-274"]),
        ("1000000.000001", &["1000000"]),
        (&digits, &["99999", "-273.15"]),
    ] {
        let mut words = words.to_vec();
        words.push("temperature");
        let body = format!(
            r#"{{"sensorId":"a","timestamp":"2026-11-20T13:00:00Z","temperature":{temperature}}}"#
        );
        seeded.refuses(body, 422, &words).await;
    }
    for word in ["NaN", "nan", "Infinity", "-Infinity", "inf"] {
        let body = format!(
            r#"{{"sensorId":"a","timestamp":"2026-11-20T13:00:00Z","temperature":{word}}}"#
        );
        seeded
            .refuses(body, 400, &["temperature", word.trim_start_matches('-')])
            .await;
    }
}

#[tokio::test]
async fn a_value_of_four_hundred_digits_is_not_echoed_whole() {
    let seeded = SeededServer::new().await;
    let body = format!(r#"{{"sensorId":"a","temperature":{}}}"#, "9".repeat(400));
    let answer = seeded.client.put(body).await;
    answer.problem(422, "invalid-reading");
    assert!(
        !answer.text().contains(&"9".repeat(60)),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn times_that_never_were() {
    let seeded = SeededServer::new().await;
    for (time, words) in [
        ("2026-02-29T13:00:00Z", &["day"][..]),
        ("2026-13-01T13:00:00Z", &["month"]),
        ("2026-00-01T13:00:00Z", &["month"]),
        ("2026-11-00T13:00:00Z", &["day"]),
        ("2026-11-31T13:00:00Z", &["day"]),
        ("2026-11-20T24:00:00Z", &["hour"]),
        ("2026-11-20T13:60:00Z", &["minute"]),
        ("2026-11-20T13:00:60Z", &["second"]),
        ("2016-12-31T23:59:60Z", &["second"]),
        ("2026-11-20T13:00:00+24:00", &["offset"]),
        ("0000-01-01T00:00:00Z", &["0001"]),
        ("0001-01-01T00:00:00+00:01", &["0001"]),
        ("10000-01-01T00:00:00Z", &["10000-01-01"]),
        ("9999-12-31T23:59:59-00:01", &["9999"]),
        ("-001-01-01T00:00:00Z", &["-001"]),
        ("2026-11-20", &["RFC 3339"]),
        ("13:00:00", &["RFC 3339"]),
        ("20.11.2026 13:00", &["RFC 3339"]),
        ("2026-11-20T13", &["RFC 3339"]),
        ("2026-11-20T13:00:00.Z", &["RFC 3339"]),
        ("2026-11-20T13:00:00ZZ", &["RFC 3339"]),
        ("2026-11-20T13:00:00 CET", &["RFC 3339"]),
        ("1763643600", &["RFC 3339"]),
        ("now", &["RFC 3339"]),
        ("", &["timestamp"]),
    ] {
        let mut words = words.to_vec();
        words.push("timestamp");
        seeded.refuses(reading("a", time, "1"), 422, &words).await;
    }
}

#[tokio::test]
async fn sensor_ids_that_are_none() {
    let seeded = SeededServer::new().await;
    for (id, words) in [
        ("", "empty"),
        (" \u{2003} ", "empty"),
        (&"a".repeat(129), "128"),
        (&"x".repeat(10_000), "128"),
        (r"a\u0000b", "control"),
        (r"a\nb", "control"),
        (r"a\u0085b", "control"),
        (r"a\u007fb", "control"),
    ] {
        let body = reading(id, "2026-11-20T13:00:00Z", "1");
        seeded.refuses(body, 422, &["sensorId", words]).await;
    }
    for escape in [r"\ud800", r"\udc00\ud800", r"\x41"] {
        let body = reading(escape, "2026-11-20T13:00:00Z", "1");
        seeded.refuses(body, 400, &["sensorId"]).await;
    }
}

#[tokio::test]
async fn control_characters_that_json_does_not_allow() {
    let seeded = SeededServer::new().await;
    for character in ["\u{0}", "\u{1}", "\t", "\u{1f}"] {
        let body = reading(&format!("a{character}b"), "2026-11-20T13:00:00Z", "1");
        seeded.refuses(body, 400, &["JSON"]).await;
    }
}

#[tokio::test]
async fn nesting_a_hundred_thousand_deep() {
    let seeded = SeededServer::new().await;
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let objects = r#"{"a":"#.repeat(100_000);
    for (body, status) in [
        (
            format!(r#"{{"sensorId":"a","temperature":1,"extra":{deep}}}"#),
            None,
        ),
        (format!(r#"{{"sensorId":"a","temperature":{deep}}}"#), None),
        (format!(r#"{{"sensorId":{deep},"temperature":1}}"#), None),
        ("[".repeat(100_000), None),
        (objects, Some(400)),
    ] {
        // Either status is correct: the content does not parse, or is not accepted.
        let answer = seeded.client.put_as("application/json", body.clone()).await;
        assert!(matches!(answer.status, 400 | 422), "{}", answer.text());
        let slug = if answer.status == 400 {
            "unreadable-body"
        } else {
            "invalid-reading"
        };
        answer.problem(status.unwrap_or(answer.status), slug);
        let answer = seeded.client.post("", NDJSON, body.clone()).await;
        answer.problem(422, "invalid-batch");
        let answer = seeded
            .client
            .post("", "application/json", format!("[{body}]"))
            .await;
        assert!(matches!(answer.status, 400 | 422), "{}", answer.text());
        seeded.assert_unchanged().await;
    }
    // The server still works.
    assert!(
        !seeded.server.log().contains("panicked"),
        "{}",
        seeded.server.log()
    );
}

#[tokio::test]
async fn bytes_that_are_not_utf_8() {
    let seeded = SeededServer::new().await;
    for bad in [
        &b"\xff"[..],
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xc0\xaf",
    ] {
        let mut body = br#"{"sensorId":"a"#.to_vec();
        body.extend_from_slice(bad);
        body.extend_from_slice(br#"","timestamp":"2026-11-20T13:00:00Z","temperature":1}"#);
        seeded.refuses(body, 400, &["UTF-8"]).await;
    }
    let answer = seeded
        .client
        .put_as(
            "application/x-www-form-urlencoded",
            "sensorId=%ff&temperature=1",
        )
        .await;
    assert!(matches!(answer.status, 400 | 422), "{}", answer.text());
    seeded.assert_unchanged().await;
}

#[tokio::test]
async fn names_that_come_twice() {
    let seeded = SeededServer::new().await;
    for (body, field) in [
        (
            r#"{"sensorId":"a","sensorId":"b","temperature":1}"#,
            "sensorId",
        ),
        (
            r#"{"sensorId":"a","sensorID":"a","temperature":1}"#,
            "sensorId",
        ),
        (
            r#"{"sensorId":"a","temperature":1,"temperature":1}"#,
            "temperature",
        ),
        (
            r#"{"sensorId":"a","temperature":1,"time":null,"timestamp":null}"#,
            "timestamp",
        ),
        (
            r#"{"sensorId":"a","sensor\u0049d":"b","temperature":1}"#,
            "sensorId",
        ),
    ] {
        seeded.refuses(body, 422, &[field, "twice"]).await;
    }
}
