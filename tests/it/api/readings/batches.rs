//! `POST /api/readings`: accepted batches, in each format and compression.

use serde_json::json;

use crate::support::{Answer, Client, Server, gzip, lines, reading, zstd};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const CSV: &str = "text/csv";

/// Asserts `recorded`, `unchanged`, `replaced` and `rejected`, and no other members.
#[track_caller]
fn assert_counts(answer: &Answer, counts: [u64; 4]) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some(JSON));
    let [recorded, unchanged, replaced, rejected] = counts;
    let expected = json!({
        "recorded": recorded, "unchanged": unchanged, "replaced": replaced, "rejected": rejected,
    });
    assert_eq!(answer.json(), expected);
}

/// Two readings of two sensors.
fn two() -> String {
    [
        reading("a", "2026-11-20T13:00:00Z", "20.5") + "\n",
        reading("b", "2026-11-20T13:00:00Z", "-1") + "\n",
    ]
    .concat()
}

async fn assert_two_stored(client: &Client) {
    assert_eq!(client.everything().await, two());
}

#[tokio::test]
async fn an_array_of_json_is_a_batch() {
    let server = Server::start();
    let client = server.client();
    let body = format!(
        " [{}\n,{} ]\n",
        r#"{"sensorID":"a","time":"2026-11-20 13:00","temperature":"20.50","extra":[1]}"#,
        reading("b", "2026-11-20T13:00:00Z", "-1")
    );
    assert_counts(&client.post("", JSON, body).await, [2, 0, 0, 0]);
    assert_two_stored(&client).await;
}

#[tokio::test]
async fn lines_of_json_are_a_batch() {
    let server = Server::start();
    let client = server.client();
    for (body, counts) in [
        (two(), [2, 0, 0, 0]),
        // No line break at the end, blank lines, a byte order mark, carriage returns.
        (two().trim_end().to_owned(), [0, 2, 0, 0]),
        (
            format!(
                "\u{feff}\n\n {}\r\n\r\n",
                two().replace('\n', " \r\n\t\r\n")
            ),
            [0, 2, 0, 0],
        ),
    ] {
        assert_counts(&client.post("", NDJSON, body).await, counts);
        assert_two_stored(&client).await;
    }
}

#[tokio::test]
async fn csv_with_a_header_is_a_batch() {
    let server = Server::start();
    let client = server.client();
    for (body, counts) in [
        (
            "sensorId,timestamp,temperature\na,2026-11-20T13:00:00Z,20.5\nb,2026-11-20T13:00:00Z,-1\n",
            [2, 0, 0, 0],
        ),
        // The other names, another order, more columns, quotes, a byte order mark, carriage returns, blank lines.
        (
            "\u{feff}note,temperature,time,\"sensorID\"\r\n\r\n\"x, \"\"y\"\"\",20.50,2026-11-20 13:00,a\r\n\
             \"two\r\nlines\",\"-1\",\"2026-11-20T14:00:00+01:00\",\"b\"",
            [0, 2, 0, 0],
        ),
    ] {
        assert_counts(&client.post("", CSV, body).await, counts);
        assert_two_stored(&client).await;
    }
}

#[tokio::test]
async fn content_types_may_have_parameters() {
    let server = Server::start();
    let client = server.client();
    for (n, content_type) in [
        "application/x-ndjson; charset=utf-8",
        "Application/X-NDJSON",
        "application/x-ndjson;charset=UTF-8",
    ]
    .into_iter()
    .enumerate()
    {
        let body = reading(&n.to_string(), "2026-11-20T13:00:00Z", "1");
        assert_counts(&client.post("", content_type, body).await, [1, 0, 0, 0]);
    }
    let csv = "sensorId,timestamp,temperature\na,2026-11-20T13:00:00Z,1";
    let answer = client
        .post("", "text/csv; header=present; charset=utf-8", csv)
        .await;
    assert_counts(&answer, [1, 0, 0, 0]);
}

#[tokio::test]
async fn compressed_bodies_are_read() {
    let server = Server::start();
    let client = server.client();
    let two_lines = two();
    let (first, rest) = two_lines.split_at(20);
    let joined_gzip = [gzip(first), gzip(rest)].concat();
    let joined_zstd = [zstd(first), zstd(rest)].concat();
    let mut counts = [2, 0, 0, 0];
    for (encoding, body) in [
        ("gzip", gzip(two())),
        ("x-gzip", gzip(two())),
        ("GZIP", joined_gzip),
        ("zstd", zstd(two())),
        ("zstd", joined_zstd),
        ("identity", two().into_bytes()),
    ] {
        let request = client
            .request("POST", "/api/readings")
            .header("content-type", NDJSON)
            .header("content-encoding", encoding)
            .body(body);
        assert_counts(&Answer::to(request).await, counts);
        counts = [0, 2, 0, 0];
        assert_two_stored(&client).await;
    }
}

#[tokio::test]
async fn every_reading_of_a_batch_is_accounted_for() {
    let server = Server::start();
    let client = server.client();
    client.store(two()).await;
    let body = [
        reading("a", "2026-11-20T13:00:00Z", "20.50"), // stored already
        reading("b", "2026-11-20T13:00:00Z", "7"),     // with another temperature
        reading("c", "2026-11-20T13:00:00Z", "1"),     // new
        reading("c", "2026-11-20T13:00:00Z", "2"),     // replaces the line before
        reading("c", "2026-11-20T14:00:00+01:00", "2"), // the same timestamp in another spelling
    ]
    .join("\n");
    assert_counts(&client.post("", NDJSON, body).await, [1, 2, 2, 0]);
    assert_eq!(
        client.everything().await,
        [
            reading("a", "2026-11-20T13:00:00Z", "20.5") + "\n",
            reading("b", "2026-11-20T13:00:00Z", "7") + "\n",
            reading("c", "2026-11-20T13:00:00Z", "2") + "\n",
        ]
        .concat()
    );
}

#[tokio::test]
async fn a_batch_sent_again_changes_nothing() {
    let server = Server::start();
    let client = server.client();
    let batch = lines("a", 3000);
    assert_counts(
        &client.post("", NDJSON, batch.clone()).await,
        [3000, 0, 0, 0],
    );
    let stats = client.stats("").await;
    assert_counts(
        &client.post("", NDJSON, batch.clone()).await,
        [0, 3000, 0, 0],
    );
    assert_counts(
        &client.post("?partial=true", NDJSON, batch.clone()).await,
        [0, 3000, 0, 0],
    );
    assert_eq!(client.stats("").await, stats);
    assert_eq!(client.everything().await, batch);
}

#[tokio::test]
async fn a_batch_of_nothing_is_fine() {
    let server = Server::start();
    let client = server.client();
    for (content_type, body) in [
        (JSON, "[]"),
        (JSON, " [ \n] "),
        (NDJSON, ""),
        (NDJSON, "\n\n"),
        (CSV, "sensorId,timestamp,temperature\n"),
    ] {
        assert_counts(&client.post("", content_type, body).await, [0; 4]);
    }
    client.assert_nothing_stored().await;
}

#[tokio::test]
async fn formats_and_compressions_can_be_mixed_freely() {
    let server = Server::start();
    let client = server.client();
    let ndjson = lines("a", 500);
    let array = format!("[{}]", ndjson.trim_end().replace('\n', ","));
    let csv = as_csv(&ndjson);
    let mut counts = [500, 0, 0, 0];
    for (content_type, body) in [(JSON, array), (NDJSON, ndjson.clone()), (CSV, csv)] {
        for (encoding, body) in [
            ("identity", body.clone().into_bytes()),
            ("gzip", gzip(&body)),
            ("zstd", zstd(&body)),
        ] {
            let request = client
                .request("POST", "/api/readings")
                .header("content-type", content_type)
                .header("content-encoding", encoding)
                .body(body);
            assert_counts(&Answer::to(request).await, counts);
            counts = [0, 500, 0, 0];
        }
    }
    assert_eq!(client.everything().await, ndjson);
}

/// The same readings as CSV.
fn as_csv(ndjson: &str) -> String {
    let rows = ndjson.lines().map(|line| {
        let reading: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| reading[name].as_str().unwrap().to_owned();
        format!(
            "{},{},{}\n",
            text("sensorId"),
            text("timestamp"),
            reading["temperature"]
        )
    });
    let header = "sensorId,timestamp,temperature\n".to_owned();
    std::iter::once(header).chain(rows).collect()
}

#[tokio::test]
async fn a_body_that_arrives_byte_by_byte_is_the_same_body() {
    let server = Server::start();
    let body = two();
    let mut raw = crate::support::Raw::connect(server.address()).await;
    let head = format!(
        "POST /api/readings HTTP/1.1\r\nHost: a\r\nContent-Type: {NDJSON}\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    raw.send(head).await;
    for byte in body.bytes() {
        raw.send([b"1\r\n", &[byte][..], b"\r\n"].concat()).await;
    }
    raw.send("0\r\n\r\n").await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text.contains(r#""recorded":2"#), "{answer:?}");
    assert_two_stored(&server.client()).await;
}
