//! The flush of a single change to the app database, or of a single file, fails.

use super::EIO;
use crate::support::{Answer, Disk, Server, Unflushed};

/// Requests to change `station.db`: method, path and body.
fn changes() -> [(&'static str, &'static str, &'static str); 4] {
    [
        ("POST", "/hello", "again"),
        ("PUT", "/api/devices/d", "newer"),
        ("DELETE", "/api/devices/d", ""),
        ("POST", "/api/todos", r#"{"title":"one"}"#),
    ]
}

#[tokio::test]
async fn a_change_whose_flush_fails_is_503_and_leaves_the_old_or_the_new_value() {
    for (method, path, body) in changes() {
        let disk = Disk::new();
        let server = Server::try_on(&disk, &[]).unwrap();
        let client = server.client();
        for (method, path, body) in [
            ("POST", "/hello", "once"),
            ("PUT", "/api/devices/d", "older"),
        ] {
            let request = client.request(method, path).body(body);
            Answer::to(request).await.with_status(200);
        }
        disk.fails(&format!("{EIO} flush *station.db-wal 0 1"));
        let mut request = client.request(method, path).body(body);
        if body.starts_with('{') {
            request = request.header("content-type", "application/json");
        }
        let answer = Answer::to(request).await;
        answer.problem(503, "unavailable");
        assert!(answer.header("retry-after").is_some());
        assert_eq!(server.wait().code, Some(4));
        disk.fails("");
        let server = Server::try_on(&disk, &[]).unwrap();
        let client = server.client();
        let word = client.get("/hello").await.with_status(200).text();
        assert!(["once", "again"].contains(&&*word), "{word}");
        let file = client.get("/api/devices/d/content").await;
        match file.status {
            200 => assert!(["older", "newer"].contains(&&*file.text())),
            _ => drop(file.problem(404, "unknown-file")),
        }
    }
}

#[tokio::test]
async fn a_file_whose_flush_fails_is_503_and_the_older_one_stays() {
    for (operation, pattern) in [
        ("flush", "*files/*.part"),
        ("flush", "data/files"),
        ("write", "*files/*.part"),
    ] {
        let disk = Disk::new();
        let mut server = Server::try_on(&disk, &[]).unwrap();
        let client = server.client();
        let put =
            |body: &'static str| Answer::to(client.request("PUT", "/api/devices/d").body(body));
        put("older").await.with_status(200);
        disk.fails(&format!("{EIO} {operation} {pattern} 0 1"));
        let answer = put("lost").await;
        answer.problem(503, "unavailable");
        assert!(answer.header("retry-after").is_some());
        let content = client.get("/api/devices/d/content").await;
        assert_eq!(content.with_status(200).text(), "older");
        put("newer").await.with_status(200);
        server.kill9();
        disk.cut_power(Unflushed::Lost, &mut super::super::random());
        let server = Server::try_on(&disk, &[]).unwrap();
        let content = server.client().get("/api/devices/d/content").await;
        assert_eq!(content.with_status(200).text(), "newer");
    }
}
