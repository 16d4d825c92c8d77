//! `GET /api/readings`: all stored readings, or a part, in order.

use crate::support::{Answer, Client, Server, lines, reading};

const NDJSON: &str = "application/x-ndjson";
const CSV: &str = "text/csv";
const HEADER: &str = "sensorId,timestamp,temperature\n";

async fn with_accept(client: &Client, accept: &str) -> Answer {
    Answer::to(
        client
            .request("GET", "/api/readings")
            .header("accept", accept),
    )
    .await
}

#[tokio::test]
async fn an_export_is_ordered_by_sensor_then_time() {
    let server = Server::start();
    let client = server.client();
    let sorted = [
        reading("B", "2026-11-20T13:00:00Z", "-1.5"),
        reading("a", "0001-01-01T00:00:00Z", "2"),
        reading("a", "2026-11-20T13:00:00Z", "1"),
        reading("a", "2026-11-20T13:00:00.000001Z", "0.000001"),
        reading("ab", "2026-11-20T13:00:00Z", "1000000"),
        reading("é", "2026-11-20T13:00:00Z", "3"),
    ];
    let mut backwards = sorted.clone();
    backwards.reverse();
    client.store(backwards.join("\n")).await;
    assert_eq!(client.everything().await, sorted.join("\n") + "\n");
}

#[tokio::test]
async fn what_is_exported_can_be_sent_to_another_server() {
    let (one, other) = (Server::start(), Server::start());
    let (from, to) = (one.client(), other.client());
    let named = serde_json::json!({
        "sensorId": "a, \"b\" 'c'; d", "timestamp": "2026-11-20T13:00:00.25Z", "temperature": -0.000001,
    });
    from.store(format!("{}{named}\n{}", lines("a", 2500), lines("b", 30)))
        .await;
    for (format, content_type) in [("csv", CSV), ("ndjson", NDJSON)] {
        let export = from
            .get(&format!("/api/readings?format={format}"))
            .await
            .with_status(200);
        assert!(
            export
                .header("content-type")
                .unwrap()
                .starts_with(content_type)
        );
        let outcome = to
            .post("", content_type, export.body.clone())
            .await
            .with_status(200)
            .json();
        let fresh = if format == "csv" { 2531 } else { 0 };
        assert_eq!(outcome["recorded"], fresh, "{outcome}");
        assert_eq!(outcome["unchanged"], 2531 - fresh, "{outcome}");
        assert_eq!(
            to.get(&format!("/api/readings?format={format}")).await.body,
            export.body
        );
        assert_eq!(to.stats("").await, from.stats("").await);
    }
}

#[tokio::test]
async fn the_format_is_the_one_that_is_asked_for() {
    let server = Server::start();
    let client = server.client();
    client
        .store(reading("a", "2026-11-20T13:00:00Z", "1"))
        .await;
    let ndjson = reading("a", "2026-11-20T13:00:00Z", "1") + "\n";
    let csv = format!("{HEADER}a,2026-11-20T13:00:00Z,1\n");
    for (accept, text) in [
        ("*/*", &ndjson),
        ("application/x-ndjson", &ndjson),
        ("application/*", &ndjson),
        ("text/html, application/x-ndjson;q=0.9", &ndjson),
        ("text/csv", &csv),
        ("text/*", &csv),
        ("application/x-ndjson;q=0.5, text/csv", &csv),
        ("text/csv;q=0, */*", &ndjson),
    ] {
        let answer = with_accept(&client, accept).await.with_status(200);
        assert_eq!(&answer.text(), text, "{accept}");
    }
    // The parameter is explicit, while browsers send the header by default.
    let request = client
        .request("GET", "/api/readings?format=csv")
        .header("accept", "text/html");
    assert_eq!(Answer::to(request).await.with_status(200).text(), csv);
    for accept in ["text/html", "image/png", "application/xml;q=0.9"] {
        let answer = with_accept(&client, accept).await;
        answer.problem_saying(406, "not-acceptable", &[NDJSON, CSV]);
    }
    let answer = client.get("/api/readings?format=xml").await;
    answer.problem_saying(400, "invalid-parameter", &["format", "ndjson", "csv"]);
}

#[tokio::test]
async fn a_part_can_be_exported() {
    let server = Server::start();
    let client = server.client();
    let (a, b) = (lines("a", 100), lines("b", 100));
    client.store(format!("{a}{b}")).await;
    let part = |text: &str, from: usize, to: usize| -> String {
        text.split_inclusive('\n')
            .skip(from)
            .take(to - from)
            .collect()
    };
    for (query, expected) in [
        (String::new(), format!("{a}{b}")),
        ("?sensorId=b".to_owned(), b.clone()),
        (
            "?sensorId=a&from=2026-11-20T00:01:00Z".to_owned(),
            part(&a, 60, 100),
        ),
        (
            "?to=2026-11-20T00:00:10Z".to_owned(),
            part(&a, 0, 10) + &part(&b, 0, 10),
        ),
        (
            "?from=2026-11-20T00:00:10Z&to=2026-11-20T00:00:12Z".to_owned(),
            part(&a, 10, 12) + &part(&b, 10, 12),
        ),
        (
            "?from=2026-11-20T00:00:12Z&to=2026-11-20T00:00:12Z".to_owned(),
            String::new(),
        ),
        ("?sensorId=nobody".to_owned(), String::new()),
    ] {
        let answer = client
            .get(&format!("/api/readings{query}"))
            .await
            .with_status(200);
        assert_eq!(answer.text(), expected, "{query}");
    }
    let answer = client
        .get("/api/readings?sensorId=nobody&format=csv")
        .await
        .with_status(200);
    assert_eq!(answer.text(), HEADER);
    let answer = client.get("/api/readings?limit=3").await;
    answer.problem_saying(400, "invalid-parameter", &["limit", "sensorId"]);
    let answer = client.get("/api/readings?from=noon").await;
    answer.problem_saying(400, "invalid-parameter", &["from", "noon"]);
}

#[tokio::test]
async fn an_export_is_streamed_and_its_memory_is_bounded() {
    let server = Server::start();
    let client = server.client();
    let sensors = 20;
    for n in 0..sensors {
        client
            .store(lines(&format!("sensor-with-a-long-name-{n:02}"), 20_000))
            .await;
    }
    let before = server.memory_peak_bytes();
    let export = client.everything().await;
    assert_eq!(export.lines().count(), sensors * 20_000);
    let grown = server.memory_peak_bytes() - before;
    let held = export.len() as u64 / 4;
    assert!(
        grown < held,
        "{grown} bytes more for an export of {}",
        export.len()
    );
}

#[tokio::test]
async fn an_export_reads_one_snapshot() {
    let server = Server::start();
    let client = server.client();
    let sensors: Vec<String> = (0..20).map(|n| format!("s{n:02}")).collect();
    for sensor in &sensors {
        client.store(lines(sensor, 20_000)).await;
    }
    // The buffers of the connection are far smaller than the export, so most readings are read after the write below.
    let request = client.request("GET", "/api/readings");
    let mut response = request.send().await.unwrap();
    assert!(
        response
            .chunk()
            .await
            .unwrap()
            .is_some_and(|chunk| !chunk.is_empty())
    );
    let later: String = sensors
        .iter()
        .flat_map(|sensor| {
            ["2026-11-20T00:00:00.5Z", "2026-11-20T05:00:00.5Z"]
                .map(|time| reading(sensor, time, "-77") + "\n")
        })
        .collect();
    client.store(later).await;
    let mut rest = Vec::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        rest.extend_from_slice(&chunk);
    }
    assert!(!String::from_utf8(rest).unwrap().contains("-77"));
    assert_eq!(client.everything().await.matches("-77").count(), 40);
}
