//! Batches with bad items: each bad item is named, and nothing is stored unless the client asks for the good items.

use serde_json::{Value, json};

use crate::support::{Answer, Server, lines, reading};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const CSV: &str = "text/csv";

/// The position, field and words of each error; the position is in the member `position_kind`.
#[track_caller]
fn assert_errors(errors: &Value, position_kind: &str, expected: &[(u64, Option<&str>, &str)]) {
    let errors = errors.as_array().expect("no errors");
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, (position, field, words)) in errors.iter().zip(expected) {
        assert_eq!(error[position_kind], json!(position), "{error}");
        assert_eq!(
            error.get("field").and_then(Value::as_str),
            *field,
            "{error}"
        );
        assert!(error["reason"].as_str().unwrap().contains(words), "{error}");
        let other = if position_kind == "line" {
            "index"
        } else {
            "line"
        };
        assert_eq!(error.get(other), None, "{error}");
    }
}

/// Three bad readings among five.
fn five() -> [String; 5] {
    [
        reading("a", "2026-11-20T13:00:00Z", "1"),
        reading("a", "2026-11-20T13:00:60Z", "2"),
        reading("a", "2026-11-20T13:00:02Z", "\"warm\""),
        r#"{"sensorId":"a","temperature":4}"#.to_owned(),
        reading("a", "2026-11-20T13:00:04Z", "5"),
    ]
}

const WRONG: [(Option<&str>, &str); 3] = [
    (Some("timestamp"), "2026-11-20T13:00:60Z"),
    (Some("temperature"), "warm"),
    (Some("timestamp"), "missing"),
];

fn wrong_at(first: u64) -> Vec<(u64, Option<&'static str>, &'static str)> {
    let positions = first..;
    positions
        .zip(WRONG)
        .map(|(at, (field, words))| (at, field, words))
        .collect()
}

#[tokio::test]
async fn one_bad_item_refuses_an_array_and_is_named_by_its_index() {
    let server = Server::start();
    let client = server.client();
    let answer = client
        .post("", JSON, format!("[{}]", five().join(",")))
        .await;
    let problem = answer.problem(422, "invalid-batch");
    assert_errors(&problem["errors"], "index", &wrong_at(1));
    assert!(answer.header("retry-after").is_none());
    client.assert_nothing_stored().await;
}

#[tokio::test]
async fn one_bad_line_refuses_a_batch_and_is_named_by_its_number() {
    let server = Server::start();
    let client = server.client();
    // Blank lines count.
    let answer = client
        .post("", NDJSON, format!("\n{}", five().join("\n")))
        .await;
    let problem = answer.problem(422, "invalid-batch");
    assert_errors(&problem["errors"], "line", &wrong_at(3));
    client.assert_nothing_stored().await;
}

#[tokio::test]
async fn one_bad_row_refuses_a_csv_and_is_named_by_its_line() {
    let server = Server::start();
    let client = server.client();
    let body = "note,sensorId,timestamp,temperature\n\
        ,a,2026-11-20T13:00:00Z,1\n\
        ,a,2026-11-20T13:00:60Z,2\n\
        \"a note\nof two lines\",a,2026-11-20T13:00:02Z,warm\n\
        ,a,,4\n\
        ,a,2026-11-20T13:00:04Z,5,6\n\
        ,,2026-11-20T13:00:04Z,5\n";
    let problem = client
        .post("", CSV, body)
        .await
        .problem(422, "invalid-batch");
    let expected = [
        (3, Some("timestamp"), "second"),
        (4, Some("temperature"), "warm"),
        (6, Some("timestamp"), "missing"),
        (7, None, "5 fields"),
        (8, Some("sensorId"), "empty"),
    ];
    assert_errors(&problem["errors"], "line", &expected);
    client.assert_nothing_stored().await;
}

#[tokio::test]
async fn with_partial_the_good_items_are_stored_and_the_bad_ones_named() {
    let stored = [&five()[0], "\n", &five()[4], "\n"].concat();
    for (content_type, body, position_kind, first) in [
        (JSON, format!("[{}]", five().join(",")), "index", 1),
        (NDJSON, five().join("\n"), "line", 2),
    ] {
        let server = Server::start();
        let client = server.client();
        let answer = client
            .post("?partial=true", content_type, body)
            .await
            .with_status(200);
        let outcome = answer.json();
        assert_eq!(outcome["recorded"], 2, "{outcome}");
        assert_eq!(outcome["rejected"], 3, "{outcome}");
        assert_errors(&outcome["errors"], position_kind, &wrong_at(first));
        assert_eq!(client.everything().await, stored);
    }
}

#[tokio::test]
async fn with_partial_and_nothing_good_nothing_is_stored() {
    let server = Server::start();
    let client = server.client();
    let answer = client
        .post("?partial=true", NDJSON, "{}\nwarm\n[]\n\u{0}")
        .await
        .with_status(200);
    let outcome = answer.json();
    assert_eq!(
        (&outcome["recorded"], &outcome["rejected"]),
        (&json!(0), &json!(4))
    );
    assert_eq!(outcome["errors"].as_array().unwrap().len(), 4);
    client.assert_nothing_stored().await;
}

#[tokio::test]
async fn partial_is_true_or_false_and_false_by_default() {
    let server = Server::start();
    let client = server.client();
    let body = || five().join("\n");
    client
        .post("?partial=false", NDJSON, body())
        .await
        .problem(422, "invalid-batch");
    for query in [
        "?partial=yes",
        "?partial=",
        "?partial=1",
        "?partial=true&partial=true",
    ] {
        let answer = client.post(query, NDJSON, body()).await;
        answer.problem_saying(400, "invalid-parameter", &["partial"]);
    }
    let answer = client.post("?part=true", NDJSON, body()).await;
    answer.problem_saying(400, "invalid-parameter", &["part", "partial"]);
    client.assert_nothing_stored().await;
}

#[tokio::test]
async fn one_bad_line_in_a_hundred_thousand_is_found() {
    let server = Server::start();
    let client = server.client();
    let good = lines("a", 100_000);
    let bad: String = good
        .lines()
        .enumerate()
        .map(|(n, line)| match n {
            98_765 => reading("a", "2026-11-20T25:00:00Z", "1") + "\n",
            _ => format!("{line}\n"),
        })
        .collect();
    let problem = client
        .post("", NDJSON, bad.clone())
        .await
        .problem(422, "invalid-batch");
    assert_errors(
        &problem["errors"],
        "line",
        &[(98_766, Some("timestamp"), "hour")],
    );
    client.assert_nothing_stored().await;
    let outcome = client
        .post("?partial=true", NDJSON, bad)
        .await
        .with_status(200)
        .json();
    assert_eq!(
        (&outcome["recorded"], &outcome["rejected"]),
        (&json!(99_999), &json!(1))
    );
    let outcome = client.store(good.clone()).await.json();
    assert_eq!(
        (&outcome["recorded"], &outcome["unchanged"]),
        (&json!(1), &json!(99_999))
    );
    assert_eq!(client.everything().await, good);
}

#[tokio::test]
async fn the_first_hundred_errors_are_named_and_all_are_counted() {
    let server = Server::start();
    let client = server.client();
    let body = "{}\n".repeat(5000);
    let answer = client.post("", NDJSON, body.clone()).await;
    let problem = answer.problem(422, "invalid-batch");
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 100);
    assert_eq!(
        (&errors[0]["line"], &errors[99]["line"]),
        (&json!(1), &json!(100))
    );
    assert!(
        problem["detail"].as_str().unwrap().contains("5000"),
        "{problem}"
    );
    let outcome = client
        .post("?partial=true", NDJSON, body)
        .await
        .with_status(200)
        .json();
    assert_eq!(outcome["rejected"], 5000);
    assert_eq!(outcome["errors"].as_array().unwrap().len(), 100);
    client.assert_nothing_stored().await;
}

#[tokio::test]
async fn a_batch_with_one_sensor_too_many_is_refused_whole_or_in_part() {
    let server = Server::with_args(&["--sensors-max", "2"]);
    let client = server.client();
    let line = |sensor: &str, second: u32| {
        reading(sensor, &format!("2026-11-20T13:00:{second:02}Z"), "1") + "\n"
    };
    let body = format!(
        "{}\n{}{}{}",
        line("a", 1),
        line("b", 2),
        line("c", 3),
        line("a", 4)
    );
    let answer = client.post("", NDJSON, body.clone()).await;
    answer.problem_saying(507, "too-many-sensors", &["2"]);
    client.assert_nothing_stored().await;
    let outcome = client
        .post("?partial=true", NDJSON, body)
        .await
        .with_status(200)
        .json();
    assert_eq!(
        (&outcome["recorded"], &outcome["rejected"]),
        (&json!(3), &json!(1))
    );
    // The third reading is in the fourth line.
    assert_errors(&outcome["errors"], "line", &[(4, None, "sensors")]);
    // Readings of known sensors are accepted as before.
    client
        .put(reading("a", "2026-11-20T13:00:05Z", "1"))
        .await
        .with_status(200);
    let answer = client.put(reading("d", "2026-11-20T13:00:05Z", "1")).await;
    answer.problem_saying(507, "too-many-sensors", &["2"]);
    assert_eq!(client.everything().await.lines().count(), 4);
}

#[tokio::test]
async fn a_batch_that_does_not_parse_says_where() {
    let server = Server::start();
    let client = server.client();
    let good = reading("a", "2026-11-20T13:00:00Z", "1");
    let bodies: [(&str, String, u16, &[&str]); 12] = [
        (JSON, String::new(), 400, &["empty"]),
        (JSON, good.clone(), 422, &["array", NDJSON]),
        (JSON, format!("[{good}"), 400, &["ends"]),
        (JSON, format!("[{good}]]"), 400, &["after the end"]),
        (JSON, format!("[{good},]"), 400, &[r#""index":1"#]),
        (JSON, format!("[{good} {good}]"), 400, &[r#""index":0"#]),
        (JSON, "temperature=1".to_owned(), 400, &["array"]),
        (CSV, String::new(), 422, &["header"]),
        (
            CSV,
            "a,2026-11-20T13:00:00Z,1\n".to_owned(),
            422,
            &["header", "sensorId"],
        ),
        (
            CSV,
            "sensorId,timestamp\na,2026-11-20T13:00:00Z\n".to_owned(),
            422,
            &["temperature"],
        ),
        (
            CSV,
            "sensorId,sensorID,timestamp,temperature\n".to_owned(),
            422,
            &["two columns"],
        ),
        (NDJSON, format!("[{good}]"), 422, &["object"]),
    ];
    for (content_type, body, status, words) in bodies {
        for query in ["", "?partial=true"] {
            // With `partial=true` a line with an array is only a bad line of the batch.
            if (query, content_type) == ("?partial=true", NDJSON) {
                continue;
            }
            let answer: Answer = client.post(query, content_type, body.clone()).await;
            let slug = if status == 400 {
                "unreadable-body"
            } else {
                "invalid-batch"
            };
            answer.problem_saying(status, slug, words);
        }
    }
    client.assert_nothing_stored().await;
}
