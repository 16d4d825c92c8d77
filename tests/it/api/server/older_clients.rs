//! The requests in the READMEs of the older file service and greeting page, on every backend.

use crate::support::{Answer, Client, Server, form, random_bytes};
#[cfg(feature = "cloud")]
use crate::support::{RedisServer, S3Kind, S3Server};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

async fn files(client: &Client) {
    let list = client.get("/api/devices/").await.with_status(200);
    assert_eq!(list.text(), r#"{"TelemetryDataDownloads":[]}"#);
    let picture = random_bytes(70_000);
    for device in ["202", "sensor-1"] {
        let body = form("file", "image.png", "image/png", &picture);
        let sent = client.send_form(device, body).await.with_status(200);
        let message = format!(r#"{{"message":"File uploaded for Device ID - {device}"}}"#);
        assert_eq!(sent.text(), message);
        assert_eq!(sent.header("content-type"), Some("application/json"));
    }
    for path in ["/api/devices/", "/api/devices"] {
        let list = client.get(path).await.with_status(200);
        assert_eq!(
            list.text(),
            r#"{"TelemetryDataDownloads":["202","sensor-1"]}"#
        );
    }
    let text = client.get("/api/devices/202").await.with_status(200).text();
    assert!(STANDARD.decode(text).unwrap() == picture);
    // A second upload replaces the file.
    let body = form("file", "image.png", "image/png", b"another");
    client.send_form("202", body).await.with_status(200);
    let text = client.get("/api/devices/202").await.with_status(200).text();
    assert_eq!(text, STANDARD.encode("another"));
    // The older service answered 200 to these requests.
    client
        .get("/api/devices/nobody")
        .await
        .problem(404, "unknown-file");
    let body = form("photo", "image.png", "image/png", b"x");
    client
        .send_form("202", body)
        .await
        .problem(400, "unreadable-body");
    for path in ["/health", "/api"] {
        client.get(path).await.with_status(200);
    }
}

async fn greeting(client: &Client) {
    let page = client.get("/").await.with_status(200).text();
    assert!(page.contains("<h1>Hello World!</h1>"), "{page}");
    let post = |kind: &'static str, body: &'static str| {
        let request = client
            .request("POST", "/hello")
            .header("content-type", kind);
        Answer::to(request.body(body))
    };
    // The request of `curl -d tera-webapp`.
    let form = "application/x-www-form-urlencoded";
    let set = post(form, "tera-webapp").await.with_status(200);
    assert_eq!(set.text(), "tera-webapp");
    let page = client.get("/").await.with_status(200).text();
    assert!(page.contains("<h1>Hello tera-webapp!</h1>"), "{page}");
    for (kind, body) in [("text/plain", ""), (form, ""), (form, "a=b")] {
        let refused = post(kind, body).await.with_status(400);
        assert_eq!(refused.text(), "data must contain a string");
    }
    assert_eq!(client.get("/hello").await.text(), "tera-webapp");
}

#[tokio::test]
async fn older_clients_are_served_by_a_server_alone() {
    let server = Server::start();
    files(&server.client()).await;
    greeting(&server.client()).await;
}

#[cfg(feature = "cloud")]
#[tokio::test]
async fn older_clients_are_served_from_s3_and_redis() {
    for kind in [S3Kind::Moto, S3Kind::Ministack] {
        let (s3, redis) = (S3Server::start_kind(kind), RedisServer::start());
        let server = Server::with_args(&["--files", &s3.url(), "--greeting", &redis.url()]);
        files(&server.client()).await;
        greeting(&server.client()).await;
    }
}
