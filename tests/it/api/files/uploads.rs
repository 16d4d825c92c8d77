//! Bad uploads: each is refused, changes nothing, leaves nothing behind, and uses little memory.

use std::time::Duration;

#[cfg(feature = "cloud")]
use crate::support::S3Server;
use crate::support::{
    Answer, BOUNDARY, Client, FolderStorage, Raw, Server, endless, form, setting, wait_for_files,
};

const MIB: u64 = 1 << 20;

async fn put_as(client: &Client, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = client.request("PUT", "/api/devices/d");
    Answer::to(request.header("content-type", content_type).body(body)).await
}

#[tokio::test]
async fn forms_that_are_none_are_refused_within_bounds() {
    let server = Server::start();
    let client = server.client();
    client.send_file("d", "before").await.with_status(200);
    let idle = server.memory_peak_bytes();
    let form_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let good = form("file", "a.bin", "a/b", b"data");
    let part = |field: &str| {
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\nx\r\n")
    };
    let end = format!("--{BOUNDARY}--\r\n");
    let long_name = form("file", &"a".repeat(MIB as usize), "a/b", b"data");
    let name_of_300 = form("file", &"a".repeat(300), "a/b", b"data");
    let unchosen = form("file", "", "application/octet-stream", b"");
    let bad_type = form("file", "a", "no type", b"data");
    let encoded = String::from_utf8(good.clone()).unwrap().replace(
        "Content-Type: a/b",
        "Content-Type: a/b\r\nContent-Transfer-Encoding: base64",
    );
    let much_beside =
        part("other").replace("\r\n\r\nx", &format!("\r\n\r\n{}", "x".repeat(2 << 20)));
    for (body, status, slug) in [
        (Vec::new(), 400, "unreadable-body"),
        (b"no form".to_vec(), 400, "unreadable-body"),
        (end.clone().into_bytes(), 400, "unreadable-body"),
        ((part("other") + &end).into_bytes(), 400, "unreadable-body"),
        (
            (part("file") + &part("file") + &end).into_bytes(),
            400,
            "unreadable-body",
        ),
        (
            (part("a").repeat(100_000) + &end).into_bytes(),
            400,
            "unreadable-body",
        ),
        (good[..good.len() - 5].to_vec(), 400, "unreadable-body"),
        (part("file").into_bytes(), 400, "unreadable-body"),
        (long_name, 400, "unreadable-body"),
        (name_of_300, 400, "unreadable-body"),
        (unchosen, 400, "unreadable-body"),
        (bad_type, 400, "unreadable-body"),
        (encoded.into_bytes(), 400, "unreadable-body"),
        (
            (much_beside + &part("file") + &end).into_bytes(),
            413,
            "body-too-large",
        ),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(100)]).into_owned();
        let answer = put_as(&client, &form_type, body).await;
        assert_eq!(answer.status, status, "{shown}: {}", answer.text());
        answer.problem(status, slug);
    }
    for (content_type, status, slug) in [
        ("multipart/form-data", 400, "unreadable-body"),
        ("multipart/form-data; boundary=", 400, "unreadable-body"),
        ("multipart/form-data; boundary=\"", 400, "unreadable-body"),
        (
            "multipart/form-data; boundary=other",
            400,
            "unreadable-body",
        ),
        ("multipart/mixed; boundary=x", 415, "unsupported-media-type"),
        ("nonsense", 415, "unsupported-media-type"),
    ] {
        put_as(&client, content_type, good.clone())
            .await
            .problem(status, slug);
    }
    let request = client.request("PUT", "/api/devices/d").body("x");
    let answer = Answer::to(request.header("content-encoding", "gzip")).await;
    answer.problem(415, "unsupported-media-type");
    assert_eq!(client.file("d").await, b"before");
    wait_for_files(&FolderStorage, &server, 1).await;
    let peak = server.memory_peak_bytes();
    assert!(peak < idle + 32 * MIB, "{peak} bytes, {idle} before");
    // A correct form with other fields.
    let body = [part("before").as_bytes(), &good].concat();
    client.send_form("d", body).await.with_status(200);
    assert_eq!(client.file("d").await, b"data");
}

#[tokio::test]
async fn a_length_that_lies_is_refused_or_means_nothing() {
    let server = Server::start();
    let address = server.address();
    let put = "PUT /api/devices/d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    for lie in [
        "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "Content-Length: -1\r\n\r\na",
        "Content-Length: 1e3\r\n\r\na",
        "Content-Length: 99999999999999999999\r\n\r\na",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\na",
        "Transfer-Encoding: chunked, identity\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ] {
        let answer = Raw::exchange(address, format!("{put}{lie}")).await;
        assert!((400..500).contains(&answer.status), "{lie}: {answer:?}");
    }
    // A chunked body ends with the last chunk; the rest is not a second request.
    let smuggled = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nDELETE /api/devices/d HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = Raw::exchange(address, format!("{put}{smuggled}")).await;
    assert_eq!(answer.text.matches("HTTP/1.1 ").count(), 1, "{answer:?}");
    let client = server.client();
    match answer.status {
        200 => assert_eq!(client.file("d").await, b"a"),
        _ => assert_eq!(client.devices().await, [""; 0]),
    }
    // The length of a part is ignored.
    let body = form("file", "a", "a/b\r\nContent-Length: 1", b"data");
    client.send_form("d", body).await.with_status(200);
    assert_eq!(client.file("d").await, b"data");
}

#[tokio::test]
async fn digests_that_were_promised_are_checked() {
    let server = Server::start();
    let client = server.client();
    // The digest of "data".
    const DIGEST: &str = "sha-256=:Om6weQ85rIfJTzhWst0sXREOaBFgImGpqSPTuyOtyLc=:";
    const OTHER: &str = "sha-256=:Am6weQ85rIfJTzhWst0sXREOaBFgImGpqSPTuyOtyLc=:";
    let put = |name: &'static str, value: &'static str, body: Vec<u8>, content_type: String| {
        let request = client.request("PUT", "/api/devices/d");
        let request = request
            .header(name, value)
            .header("content-type", content_type);
        Answer::to(request.body(body))
    };
    let as_file = || "a/b".to_owned();
    let as_form = || format!("multipart/form-data; boundary={BOUNDARY}");
    let in_form = || form("file", "a", "a/b", b"data");
    for name in ["content-digest", "repr-digest"] {
        put(name, DIGEST, b"data".to_vec(), as_file())
            .await
            .with_status(200);
        put(name, DIGEST, in_form(), as_form())
            .await
            .with_status(200);
        put(name, "crc32=:AAAAAA==:", b"data".to_vec(), as_file())
            .await
            .with_status(200);
        put(name, OTHER, b"other".to_vec(), as_file())
            .await
            .problem(400, "digest-mismatch");
        put(name, OTHER, in_form(), as_form())
            .await
            .problem(400, "digest-mismatch");
        put(name, "sha-256=x", b"data".to_vec(), as_file())
            .await
            .problem(400, "invalid-parameter");
    }
    assert_eq!(client.file("d").await, b"data");
    wait_for_files(&FolderStorage, &server, 1).await;
}

/// 16 uploads and 16 downloads at once, each of `FIELDSTATION_TEST_FILE_BYTES` bytes.
async fn transfers_take_little_memory(server: &Server) {
    const AT_ONCE: usize = 16;
    let size = setting("FIELDSTATION_TEST_FILE_BYTES").unwrap_or(24 * MIB);
    let client = server.client();
    client.send_file("warm", "x").await.with_status(200);
    let idle = server.memory_peak_bytes();
    let sending = (0..AT_ONCE).map(|number| {
        let client = server.client();
        async move {
            for _ in 0..30 {
                let request = client.request("PUT", &format!("/api/devices/{number}"));
                let request = request
                    .timeout(Duration::from_secs(3600))
                    .body(endless(size));
                let answer = Answer::to(request).await;
                if answer.status == 200 {
                    return;
                }
                // The backend may be too slow for so many uploads. The server then refuses instead of buffering.
                answer.problem(503, "overloaded");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            panic!("{number} is never taken");
        }
    });
    futures_util::future::join_all(sending).await;
    let peak = server.memory_peak_bytes();
    assert!(
        peak < idle + 64 * MIB,
        "{peak} bytes while sending, {idle} before"
    );
    let fetching = (0..AT_ONCE).map(|number| {
        let client = server.client();
        async move {
            let ends = ["", "/content"];
            let path = format!("/api/devices/{number}{}", ends[number % 2]);
            let request = client
                .request("GET", &path)
                .timeout(Duration::from_secs(3600));
            let mut response = request.send().await.unwrap();
            let mut fetched = 0;
            while let Some(piece) = response.chunk().await.unwrap() {
                fetched += piece.len() as u64;
            }
            fetched
        }
    });
    let fetched = futures_util::future::join_all(fetching).await;
    for (number, fetched) in fetched.into_iter().enumerate() {
        let expected = if number % 2 == 0 {
            size.div_ceil(3) * 4
        } else {
            size
        };
        assert_eq!(fetched, expected);
    }
    let peak = server.memory_peak_bytes();
    assert!(
        peak < idle + 64 * MIB,
        "{peak} bytes while fetching, {idle} before"
    );
    println!("{} MiB above {} MiB", (peak - idle) / MIB, idle / MIB);
}

#[tokio::test]
async fn transfers_take_little_memory_with_a_folder() {
    transfers_take_little_memory(&Server::start()).await;
}

#[cfg(feature = "cloud")]
#[tokio::test]
async fn transfers_take_little_memory_with_s3() {
    let s3 = S3Server::start();
    transfers_take_little_memory(&Server::with_args(&["--files", &s3.url()])).await;
}
