//! Lists in pages, by cursor.

use serde_json::Value;

use crate::support::{Client, Server, lines, reading};

/// The items of all pages of a list; `path` ends where further parameters may follow.
async fn all_pages(client: &Client, path: &str, name: &str, limit: usize) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    for _ in 0..1000 {
        let page = client
            .get(&format!("{path}limit={limit}{cursor}"))
            .await
            .with_status(200)
            .json();
        let of_page = page[name].as_array().unwrap();
        assert!(of_page.len() <= limit, "{page}");
        items.extend_from_slice(of_page);
        match page["next"].as_str() {
            None => {
                assert!(page["next"].is_null());
                return items;
            }
            Some(next) => {
                assert_eq!(of_page.len(), limit, "a short page before the last: {page}");
                assert!(
                    next.bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
                );
                cursor = format!("&cursor={next}");
            }
        }
    }
    panic!("there is no end of {path}");
}

#[tokio::test]
async fn all_sensors_are_listed_page_by_page_in_order() {
    let server = Server::start();
    let client = server.client();
    let mut ids = vec![
        "a b".to_owned(),
        "é".into(),
        "Z".into(),
        "a&b=c".into(),
        "10".into(),
        "9".into(),
    ];
    ids.extend((0..250).map(|n| format!("sensor-{n}")));
    let batch: Vec<_> = ids
        .iter()
        .map(|id| reading(id, "2026-11-20T13:00:00Z", "1"))
        .collect();
    client.store(batch.join("\n")).await;
    ids.sort_unstable();
    for limit in [1, 7, 256, 257, 1000] {
        let listed = all_pages(&client, "/api/sensors?", "sensors", limit).await;
        let listed: Vec<_> = listed
            .iter()
            .map(|s| s["sensorId"].as_str().unwrap())
            .collect();
        assert_eq!(listed, ids, "{limit}");
    }
    let page = client.get("/api/sensors").await.with_status(200).json();
    assert_eq!(page["sensors"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn all_readings_of_a_window_are_listed_page_by_page_in_order() {
    let server = Server::start();
    let client = server.client();
    client.store(lines("a", 3000) + &lines("b", 10)).await;
    let window = "from=2026-11-20T00:00:10Z&to=2026-11-20T00:40:00Z&";
    let expected: Vec<_> = (10..2400).map(|second| second % 100).collect();
    for limit in [7, 239, 1000] {
        let path = format!("/api/sensors/a/readings?{window}");
        let listed = all_pages(&client, &path, "readings", limit).await;
        let listed: Vec<_> = listed
            .iter()
            .map(|r| r["temperature"].as_u64().unwrap())
            .collect();
        assert_eq!(listed, expected, "{limit}");
    }
    let listed = all_pages(&client, "/api/sensors/a/readings?", "readings", 1000).await;
    assert_eq!(listed.len(), 3000);
}

#[tokio::test]
async fn what_is_added_between_two_pages_neither_repeats_nor_hides_an_item() {
    let server = Server::start();
    let client = server.client();
    for id in ["b", "d", "f"] {
        client
            .put(reading(id, "2026-11-20T13:00:00Z", "1"))
            .await
            .with_status(200);
    }
    let first = client
        .get("/api/sensors?limit=2")
        .await
        .with_status(200)
        .json();
    for id in ["a", "c", "e"] {
        client
            .put(reading(id, "2026-11-20T13:00:00Z", "1"))
            .await
            .with_status(200);
    }
    let next = first["next"].as_str().unwrap();
    let second = client
        .get(&format!("/api/sensors?cursor={next}"))
        .await
        .with_status(200)
        .json();
    let ids: Vec<_> = [first, second]
        .iter()
        .flat_map(|page| page["sensors"].as_array().unwrap())
        .map(|sensor| sensor["sensorId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["b", "d", "e", "f"]);
}

#[tokio::test]
async fn limits_and_cursors_that_make_no_sense_are_refused() {
    let server = Server::start();
    let client = server.client();
    client.store(lines("a", 3) + &lines("b", 3)).await;
    for list in ["/api/sensors", "/api/sensors/a/readings"] {
        for limit in [
            "0",
            "1001",
            "-1",
            "many",
            "",
            "1.5",
            "99999999999999999999999",
        ] {
            let answer = client.get(&format!("{list}?limit={limit}")).await;
            answer.problem_saying(400, "invalid-parameter", &["limit", "1000"]);
        }
        for cursor in ["", "0", "zz", "s0", "%00", "%F0%9F%92%A1"] {
            let answer = client.get(&format!("{list}?cursor={cursor}")).await;
            answer.problem_saying(400, "invalid-parameter", &["cursor"]);
        }
    }
    // A cursor belongs to a single list. Another list refuses the cursor.
    let page = client
        .get("/api/sensors?limit=1")
        .await
        .with_status(200)
        .json();
    let of_sensors = page["next"].as_str().unwrap();
    let page = client
        .get("/api/sensors/a/readings?limit=1")
        .await
        .with_status(200)
        .json();
    let of_readings = page["next"].as_str().unwrap();
    for path in [
        format!("/api/sensors?cursor={of_readings}"),
        format!("/api/sensors/a/readings?cursor={of_sensors}"),
    ] {
        client
            .get(&path)
            .await
            .problem_saying(400, "invalid-parameter", &["cursor"]);
    }
}
