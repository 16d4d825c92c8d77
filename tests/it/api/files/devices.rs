//! Device files: uploads and downloads, whole and in parts.

use std::time::Duration;

#[cfg(feature = "cloud")]
use crate::support::S3Server;
use crate::support::{Answer, Raw, Server, endless, form, random_bytes};

const MIB: usize = 1 << 20;

async fn files_come_back(server: &Server, sizes: &[usize]) {
    let client = server.client();
    for &size in sizes {
        let bytes = random_bytes(size);
        let answer = client
            .send_file("raw", bytes.clone())
            .await
            .with_status(200);
        assert_eq!(
            answer.text(),
            r#"{"message":"File uploaded for Device ID - raw"}"#
        );
        assert!(client.file("raw").await == bytes, "{size}");
        let body = form("file", "photo.png", "image/png", &bytes);
        client.send_form("form", body).await.with_status(200);
        assert!(client.file("form").await == bytes, "{size}");
        let content = client.get("/api/devices/form/content").await;
        assert_eq!(content.header("content-type"), Some("image/png"));
        assert_eq!(
            content.header("content-disposition"),
            Some("attachment; filename=\"photo.png\"")
        );
    }
    assert_eq!(client.devices().await, ["form", "raw"]);
}

#[tokio::test]
async fn files_of_every_size_come_back_from_a_folder() {
    let sizes = [0, 1, 2, 65_536, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1];
    files_come_back(&Server::start(), &sizes).await;
}

#[cfg(feature = "cloud")]
#[tokio::test]
async fn files_of_every_size_come_back_from_s3() {
    let s3 = S3Server::start();
    let server = Server::with_args(&["--files", &s3.url()]);
    let sizes = [0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB + 1];
    files_come_back(&server, &sizes).await;
}

#[tokio::test]
async fn the_list_is_what_existing_clients_read_and_goes_on_when_asked() {
    let server = Server::start();
    let client = server.client();
    for path in ["/api/devices", "/api/devices/"] {
        let empty = client.get(path).await.with_status(200);
        assert_eq!(empty.text(), r#"{"TelemetryDataDownloads":[]}"#);
    }
    for device in ["b", "a%2Fb", "-", "202"] {
        client.send_file(device, "x").await.with_status(200);
    }
    let list = client.get("/api/devices/").await.text();
    assert_eq!(list, r#"{"TelemetryDataDownloads":["-","202","a/b","b"]}"#);
    let first = client.get("/api/devices/?limit=3").await.json();
    assert_eq!(first["TelemetryDataDownloads"].as_array().unwrap().len(), 3);
    let next = first["next"].as_str().unwrap();
    let second = client.get(&format!("/api/devices?cursor={next}")).await;
    assert_eq!(second.text(), r#"{"TelemetryDataDownloads":["b"]}"#);
    for bad in ["?limit=1001", "?limit=0", "?cursor=x", "?page=2"] {
        let answer = client.get(&format!("/api/devices/{bad}")).await;
        answer.problem(400, "invalid-parameter");
    }
}

#[tokio::test]
async fn an_id_is_never_a_path() {
    let server = Server::start();
    let emoji = "%F0%9F%92%A1".repeat(128);
    let ids = [
        "..",
        "%2e%2e",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2fetc%2fpasswd",
        "a%5cb",
        "A",
        "a",
        &emoji,
        "con",
        "%252e",
    ];
    for (number, id) in ids.into_iter().enumerate() {
        // A raw request, because HTTP clients resolve the dots.
        let body = number.to_string();
        let request = format!(
            "PUT /api/devices/{id} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(
            Raw::exchange(server.address(), request).await.status,
            200,
            "{id}"
        );
    }
    let mut names: Vec<_> = server.client().devices().await;
    names.sort_unstable();
    let expected = [
        "%2e",
        "..",
        "../../../etc/passwd",
        "/etc/passwd",
        "A",
        "a",
        "a\\b",
        "con",
        &"💡".repeat(128),
    ];
    assert_eq!(names, expected);
    // `..` and `%2e%2e` are the same id, so the second upload replaces the first.
    let request = "GET /api/devices/../content HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = Raw::exchange(server.address(), request).await;
    assert!(answer.text.ends_with("\r\n\r\n1"), "{answer:?}");
    let mut inside: Vec<_> = std::fs::read_dir(server.data())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.contains(".db") && !name.starts_with("reserve"))
        .collect();
    inside.sort_unstable();
    assert_eq!(inside, ["files", "lock"]);
    let client = server.client();
    for id in ["%00", "a%0ab", "%20", &"a".repeat(129), "%ff"] {
        let answer = client.send_file(id, "x").await;
        answer.problem(400, "invalid-parameter");
    }
    client
        .get("/api/devices/nobody")
        .await
        .problem(404, "unknown-file");
    assert_eq!(client.devices().await.len(), expected.len());
}

#[tokio::test]
async fn a_file_is_served_with_what_is_known_of_it() {
    let server = Server::start();
    let client = server.client();
    let request = client
        .request("PUT", "/api/devices/d")
        .header("content-type", "text/html; charset=utf-8")
        .header(
            "content-disposition",
            "attachment; filename*=UTF-8''%E2%82%AC.html",
        )
        .body("<script>");
    let stored = Answer::to(request).await.with_status(200);
    let tag = stored.header("etag").unwrap().to_owned();
    let content = client.get("/api/devices/d/content").await.with_status(200);
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        (
            "content-disposition",
            "attachment; filename=\"_.html\"; filename*=UTF-8''%E2%82%AC.html",
        ),
        ("etag", &tag),
        ("accept-ranges", "bytes"),
        ("cache-control", "no-cache"),
        (
            "repr-digest",
            "sha-256=:j60/O9CldbKgvvTXQwBzGxa+bfbKBy0gTmN3RE1wFgg=:",
        ),
    ] {
        if name != "repr-digest" {
            assert_eq!(content.header(name), Some(value), "{name}");
        } else {
            assert!(content.header(name).unwrap().starts_with("sha-256=:"));
        }
    }
    let head = Answer::to(client.request("HEAD", "/api/devices/d/content")).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.headers["content-length"], "8");
    assert_eq!(head.headers["etag"], tag.as_str());
    let info = client
        .get("/api/devices/d/info")
        .await
        .with_status(200)
        .json();
    assert_eq!(info["deviceId"], "d");
    assert_eq!(info["size"], 8);
    assert_eq!(info["type"], "text/html; charset=utf-8");
    assert_eq!(info["name"], "€.html");
    assert_eq!(info["sha256"].as_str().unwrap().len(), 64);
    assert!(info["time"].as_str().unwrap().ends_with('Z'));
    let removed = Answer::to(client.request("DELETE", "/api/devices/d")).await;
    assert_eq!(removed.with_status(204).body.len(), 0);
    for path in ["", "/content", "/info"] {
        let answer = client.get(&format!("/api/devices/d{path}")).await;
        answer.problem(404, "unknown-file");
    }
    let removed = Answer::to(client.request("DELETE", "/api/devices/d")).await;
    removed.problem(404, "unknown-file");
    let posted = Answer::to(client.request("POST", "/api/devices/d").body("x")).await;
    posted.problem_saying(405, "method-not-allowed", &["PUT"]);
}

async fn parts_are_served(server: &Server) {
    let client = server.client();
    let bytes = random_bytes(600_001);
    let stored = client.send_file("d", bytes.clone()).await.with_status(200);
    let tag = stored.header("etag").unwrap().to_owned();
    let path = "/api/devices/d/content";
    let modified = client
        .get(path)
        .await
        .header("last-modified")
        .unwrap()
        .to_owned();
    for (range, part) in [
        ("bytes=0-0", 0..1),
        ("bytes=300000-", 300_000..600_001),
        ("bytes=-1", 600_000..600_001),
        ("bytes=262143-262144", 262_143..262_145),
        ("bytes=600000-9999999", 600_000..600_001),
    ] {
        for if_range in [None, Some(&tag), Some(&modified)] {
            let mut request = client.request("GET", path).header("range", range);
            if let Some(value) = if_range {
                request = request.header("if-range", value);
            }
            let answer = Answer::to(request).await.with_status(206);
            assert!(answer.body == bytes[part.clone()], "{range}");
            let expected = format!("bytes {}-{}/600001", part.start, part.end - 1);
            assert_eq!(answer.header("content-range"), Some(&*expected));
            assert_eq!(answer.header("etag"), Some(&*tag));
        }
    }
    for (name, value) in [
        ("range", "bytes=5-2"),
        ("range", "bytes=0-1,5-6"),
        ("x", "y"),
    ] {
        let request = client.request("GET", path).header(name, value);
        assert!(Answer::to(request).await.with_status(200).body == bytes);
    }
    let request = client.request("GET", path).header("range", "bytes=0-1");
    let request = request.header("if-range", "\"another\"");
    assert!(Answer::to(request).await.with_status(200).body == bytes);
    let request = client.request("GET", path).header("range", "bytes=600001-");
    let answer = Answer::to(request).await;
    assert_eq!(answer.header("content-range"), Some("bytes */600001"));
    answer.problem(416, "range-not-satisfiable");
    for (name, value, status) in [
        ("if-none-match", &*tag, 304),
        ("if-none-match", "\"x\"", 200),
        ("if-modified-since", &*modified, 304),
        ("if-match", "\"x\"", 412),
        ("if-match", &*tag, 200),
    ] {
        for method in ["GET", "HEAD"] {
            let request = client.request(method, path).header(name, value);
            let answer = Answer::to(request).await;
            assert_eq!(answer.status, status, "{method} {name}: {value}");
            assert!(status == 200 || status == 412 || answer.body.is_empty());
        }
    }
}

#[tokio::test]
async fn parts_and_conditions_are_honoured_on_a_folder() {
    parts_are_served(&Server::start()).await;
}

#[cfg(feature = "cloud")]
#[tokio::test]
async fn parts_and_conditions_are_honoured_on_s3() {
    let s3 = S3Server::start();
    parts_are_served(&Server::with_args(&["--files", &s3.url()])).await;
}

#[tokio::test]
async fn a_file_is_replaced_only_if_it_is_the_one_that_was_meant() {
    let server = Server::start();
    let client = server.client();
    let put = |name: &'static str, value: String, body: &'static str| {
        let request = client.request("PUT", "/api/devices/d");
        Answer::to(request.header(name, value).body(body))
    };
    put("if-match", "*".to_owned(), "1")
        .await
        .problem(412, "precondition-failed");
    let first = put("if-none-match", "*".to_owned(), "1")
        .await
        .with_status(200);
    let tag = first.header("etag").unwrap().to_owned();
    put("if-none-match", "*".to_owned(), "2")
        .await
        .problem(412, "precondition-failed");
    put("if-match", "\"x\"".to_owned(), "2")
        .await
        .problem(412, "precondition-failed");
    put("if-match", "x".to_owned(), "2")
        .await
        .problem(400, "invalid-parameter");
    assert_eq!(client.file("d").await, b"1");
    put("if-match", tag.clone(), "2").await.with_status(200);
    assert_eq!(client.file("d").await, b"2");
    let request = client
        .request("DELETE", "/api/devices/d")
        .header("if-match", tag);
    Answer::to(request)
        .await
        .problem(412, "precondition-failed");
    assert_eq!(client.file("d").await, b"2");
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_changes_nothing() {
    let server = Server::with_args(&["--upload-bytes-max", "100000", "--body-bytes-max", "10"]);
    let client = server.client();
    client
        .send_file("d", vec![1; 100_000])
        .await
        .with_status(200);
    let name = "a.bin";
    for bytes in [100_001, 3_000_000] {
        let body = vec![2; bytes];
        let answer = client.send_file("d", body.clone()).await;
        answer.problem_saying(413, "body-too-large", &["100000"]);
        // A body without Content-Length.
        let answer = client.send_file("d", endless(bytes as u64)).await;
        answer.problem_saying(413, "body-too-large", &["100000"]);
        let answer = client
            .send_form("d", form("file", name, "a/b", &body))
            .await;
        answer.problem_saying(413, "body-too-large", &["100000"]);
    }
    let body = form("file", name, "a/b", &vec![3; 100_000]);
    client.send_form("e", body).await.with_status(200);
    assert_eq!(client.file("d").await, vec![1; 100_000]);
    let blobs = || {
        std::fs::read_dir(server.data().join("files"))
            .unwrap()
            .count()
    };
    for _ in 0..100 {
        if blobs() == 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} files are left", blobs());
}

#[tokio::test]
async fn more_transfers_than_are_allowed_are_refused() {
    let server = Server::with_args(&["--transfers-max", "1"]);
    let mut slow = Raw::connect(server.address()).await;
    slow.send("PUT /api/devices/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        .await;
    // A client counts as a transfer after the server has asked for the body.
    let invitation = slow.receive().await;
    assert!(invitation.starts_with(b"HTTP/1.1 100 "));
    slow.send("1").await;
    let client = server.client();
    let refused = client.send_file("b", "x").await;
    assert!(refused.header("retry-after").is_some());
    refused.problem(503, "overloaded");
    slow.send("23").await;
    let answer = slow.receive().await;
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    client.send_file("b", "x").await.with_status(200);
    assert_eq!(client.file("a").await, b"123");
}
