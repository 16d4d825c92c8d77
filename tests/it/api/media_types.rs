//! What bodies say of themselves: content types and compressions that are not understood, or not true.

use super::bad_input::Station;
use crate::support::{Answer, gzip, reading, zstd};

const NDJSON: &str = "application/x-ndjson";

#[tokio::test]
async fn other_content_types_are_refused_with_those_that_are_understood() {
    let station = Station::new().await;
    let body = || reading("a", "2026-11-20T13:00:00Z", "1");
    for content_type in [
        "text/plain",
        "text/csv",
        "application/xml",
        "multipart/form-data; boundary=x",
        "json",
        ";",
    ] {
        let answer = station.client.put_as(content_type, body()).await;
        answer.problem_saying(415, "unsupported-media-type", &["application/json"]);
        station.assert_unchanged().await;
    }
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
    ] {
        let answer = station.client.post("", content_type, body()).await;
        let words = ["application/json", "application/x-ndjson", "text/csv"];
        answer.problem_saying(415, "unsupported-media-type", &words);
        station.assert_unchanged().await;
    }
}

#[tokio::test]
async fn compressions_that_are_not_understood_or_broken() {
    let station = Station::new().await;
    let send = async |encoding: &str, body: Vec<u8>| {
        let request = station
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
            station.assert_unchanged().await;
        }
    }
}
