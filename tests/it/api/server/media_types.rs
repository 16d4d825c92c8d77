//! Unknown, missing or wrong content types and content encodings.

use super::bad_input::SeededServer;
use crate::support::{Answer, Server, gzip, reading, zstd};

const NDJSON: &str = "application/x-ndjson";

#[tokio::test]
async fn other_content_types_are_refused_with_those_that_are_understood() {
    let seeded = SeededServer::new().await;
    let body = || reading("a", "2026-11-20T13:00:00Z", "1");
    for content_type in [
        "text/html",
        "text/csv",
        "application/xml",
        "multipart/form-data; boundary=x",
        "json",
        ";",
    ] {
        let answer = seeded.client.put_as(content_type, body()).await;
        answer.problem_saying(415, "unsupported-media-type", &["application/json"]);
        seeded.assert_unchanged().await;
    }
    for (content_type, body) in [
        ("text/html", body()),
        ("application/xml", body()),
        ("multipart/form-data; boundary=x", body()),
        ("text/plain", "a=b".to_owned()),
        ("application/x-www-form-urlencoded", "a=b".to_owned()),
        (
            "application/x-www-form-urlencoded",
            "sensorId,temperature\na,1\n".to_owned(),
        ),
        ("text/plain; charset=utf-8", "\"a\"".to_owned()),
    ] {
        let answer = seeded.client.post("", content_type, body).await;
        let words = ["application/json", "application/x-ndjson", "text/csv"];
        answer.problem_saying(415, "unsupported-media-type", &words);
        seeded.assert_unchanged().await;
    }
}

/// The default content types of programs.
const UNTOLD: [Option<&str>; 5] = [
    None,
    Some("text/plain"),
    Some("text/plain;charset=UTF-8"),
    Some("application/x-www-form-urlencoded"),
    Some("Application/X-WWW-Form-Urlencoded; charset=utf-8"),
];

#[tokio::test]
async fn a_single_reading_that_begins_as_json_is_json_whatever_it_is_called() {
    let seeded = SeededServer::new().await;
    let send = async |content_type: Option<&str>, body: String| {
        let request = seeded.client.request("PUT", "/api/temperature");
        let request = match content_type {
            Some(content_type) => request.header("content-type", content_type),
            None => request,
        };
        Answer::to(request.body(body)).await
    };
    for (n, content_type) in UNTOLD.into_iter().enumerate() {
        let sensor = format!("s{n}");
        let body = format!("\r\n {}", reading(&sensor, "2026-03-02T06:00:00Z", "1"));
        send(content_type, body).await.with_status(200);
        seeded
            .client
            .get(&format!("/api/sensors/{sensor}"))
            .await
            .with_status(200);
        // An array is JSON, and not a single reading.
        let body = format!("[{}]", reading("a", "2026-03-02T06:00:00Z", "1"));
        let answer = send(content_type, body).await;
        answer.problem_saying(422, "invalid-reading", &["JSON object"]);
        let answer = send(content_type, "{\"sensorId\":".to_owned()).await;
        answer.problem_saying(400, "unreadable-body", &["JSON"]);
    }
    for body in ["sensorId=a&temperature=1", "a,b", ""] {
        let answer = send(Some("text/plain"), body.to_owned()).await;
        answer.problem_saying(415, "unsupported-media-type", &["application/json"]);
    }
}

#[tokio::test]
async fn a_batch_without_a_type_has_the_format_that_it_begins_with() {
    let server = Server::start();
    let client = server.client();
    let one = |sensor: &str| reading(sensor, "2026-03-02T06:00:00Z", "1");
    let csv = "timestamp,temperature,sensorId\n2026-03-02 06:00:00,4.5,";
    let mut expected = 0;
    for (n, content_type) in UNTOLD.into_iter().enumerate() {
        for (kind, body) in [
            ("array", format!(" [{}]", one(&format!("a{n}")))),
            (
                "lines",
                format!("\n{}\n{}\n", one(&format!("b{n}")), one(&format!("c{n}"))),
            ),
            ("rows", format!("\u{feff}{csv}d{n}\n")),
            ("semicolons", format!("\r\n{csv}e{n}").replace(',', ";")),
        ] {
            for encoding in [None, Some("gzip")] {
                let request = client.request("POST", "/api/readings");
                let request = match content_type {
                    Some(content_type) => request.header("content-type", content_type),
                    None => request,
                };
                let answer = match encoding {
                    Some(encoding) => {
                        let request = request.header("content-encoding", encoding);
                        Answer::to(request.body(gzip(&body))).await
                    }
                    None => Answer::to(request.body(body.clone())).await,
                };
                let counts = answer.with_status(200).json();
                let count = 1 + u64::from(kind == "lines");
                let field = if encoding.is_none() {
                    "recorded"
                } else {
                    "unchanged"
                };
                assert_eq!(counts[field], count, "{content_type:?} {kind} {counts}");
                expected += if encoding.is_none() { count } else { 0 };
            }
        }
    }
    assert_eq!(client.everything().await.lines().count() as u64, expected);
    // Lines count from 1, blank lines included; items count from 0.
    let untold = "text/plain";
    for (body, place) in [
        (
            "\n\n{\"sensorId\":\"a\",\"temperature\":1}\n",
            r#""line":3"#,
        ),
        (
            "\nsensorId;temperature;time\n\na;4,5;2026-03-02\n",
            r#""line":4"#,
        ),
        ("[{\"sensorId\":\"a\",\"temperature\":1}]", r#""index":0"#),
    ] {
        let answer = client.post("", untold, body).await;
        answer.problem_saying(422, "invalid-batch", &[place]);
    }
    client
        .post("", untold, " \n ")
        .await
        .problem_saying(400, "unreadable-body", &["empty"]);
}

#[tokio::test]
async fn compressions_that_are_not_understood_or_broken() {
    let seeded = SeededServer::new().await;
    let send = async |encoding: &str, body: Vec<u8>| {
        let request = seeded
            .client
            .request("POST", "/api/readings")
            .header("content-type", NDJSON)
            .header("content-encoding", encoding)
            .body(body);
        Answer::to(request).await
    };
    let good = reading("a", "2026-11-20T13:00:00Z", "1");
    for encoding in ["br", "deflate", "gzip, gzip", "nonsense"] {
        let answer = send(encoding, good.clone().into_bytes()).await;
        answer.problem_saying(415, "unsupported-media-type", &["gzip", "zstd"]);
        assert!(
            answer
                .header("accept-encoding")
                .is_some_and(|known| known.contains("zstd"))
        );
    }
    let (gzip, zstd) = (gzip(&good), zstd(&good));
    let mut flipped = gzip.clone();
    let checksum = flipped.len() - 8;
    flipped[checksum] ^= 1;
    for (encoding, body) in [
        ("gzip", good.clone().into_bytes()),
        ("gzip", gzip[..gzip.len() - 1].to_vec()),
        ("gzip", gzip[..gzip.len() / 2].to_vec()),
        ("gzip", flipped),
        ("gzip", [&gzip[..], b"more"].concat()),
        ("zstd", good.clone().into_bytes()),
        ("zstd", zstd[..zstd.len() - 1].to_vec()),
        ("zstd", gzip),
    ] {
        for _ in 0..2 {
            let name = if encoding == "gzip" {
                "gzip"
            } else {
                "Zstandard"
            };
            send(encoding, body.clone())
                .await
                .problem_saying(400, "unreadable-body", &[name]);
            seeded.assert_unchanged().await;
        }
    }
}
