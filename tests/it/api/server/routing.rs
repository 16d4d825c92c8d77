//! Paths, methods, and the headers of every answer.

use crate::support::{Answer, Raw, Server, http2, reading};

const ROUTES: [(&str, &[&str]); 16] = [
    ("/", &["GET", "HEAD"]),
    ("/hello", &["GET", "HEAD", "POST"]),
    ("/api", &["GET", "HEAD"]),
    ("/api/", &["GET", "HEAD"]),
    ("/api/swagger.json", &["GET", "HEAD"]),
    ("/api/temperature", &["PUT"]),
    ("/api/stats", &["GET", "HEAD"]),
    ("/api/readings", &["GET", "HEAD", "POST"]),
    ("/api/sensors", &["GET", "HEAD"]),
    ("/api/sensors/a", &["GET", "HEAD"]),
    ("/api/sensors/a/readings", &["GET", "HEAD"]),
    ("/api/sensors/a/series", &["GET", "HEAD"]),
    ("/livez", &["GET", "HEAD"]),
    ("/readyz", &["GET", "HEAD"]),
    ("/health", &["GET", "HEAD"]),
    ("/api/sensors/%61", &["GET", "HEAD"]),
];

#[tokio::test]
async fn the_greeting_of_the_api() {
    let server = Server::start();
    let answer = server.client().get("/api").await.with_status(200);
    assert_eq!(answer.text().trim_end(), r#"{"message":"Hello!"}"#);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn where_older_servers_describe_themselves_leads_to_the_description() {
    let server = Server::start();
    let client = server.client();
    for (path, place) in [("/api/", "/docs"), ("/api/swagger.json", "/openapi.json")] {
        for method in ["GET", "HEAD"] {
            let answer = Answer::to(client.request(method, path)).await;
            assert_eq!(answer.status, 307, "{method} {path}");
            assert_eq!(answer.header("location"), Some(place), "{method} {path}");
            assert!(answer.body.is_empty(), "{method} {path}");
        }
        client.get(place).await.with_status(200);
    }
    let answer = client.get("/api").await.with_status(200);
    assert_eq!(answer.text(), r#"{"message":"Hello!"}"#);
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let server = Server::start();
    let client = server.client();
    for path in [
        "/nothing",
        "/api/swagger",
        "/api/temperature/",
        "/API",
        "/api/stats/a",
        "/../etc/passwd",
        "/%00",
        "/api%2Fstats",
    ] {
        for method in ["GET", "PUT", "POST", "DELETE"] {
            let answer = Answer::to(client.request(method, path)).await;
            answer.problem(404, "not-found");
        }
    }
}

#[tokio::test]
async fn another_method_is_refused_with_those_that_are_allowed() {
    let server = Server::start();
    let client = server.client();
    client
        .put(reading("a", "2026-11-20T13:00:00Z", "1"))
        .await
        .with_status(200);
    let before = client.everything().await;
    for (path, allowed) in ROUTES {
        for method in [
            "GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "BREW",
        ] {
            if allowed.contains(&method) {
                continue;
            }
            let request =
                client
                    .request(method, path)
                    .body(reading("b", "2026-11-20T13:00:00Z", "1"));
            let answer = Answer::to(request).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            let mut said: Vec<_> = answer
                .header("allow")
                .unwrap()
                .split(',')
                .map(str::trim)
                .collect();
            said.sort_unstable();
            assert_eq!(said, allowed, "{method} {path}");
            if method != "HEAD" {
                answer.problem_saying(405, "method-not-allowed", &[method, "Allow"]);
            }
        }
    }
    assert_eq!(client.everything().await, before);
}

#[tokio::test]
async fn head_answers_as_get_does_without_the_body() {
    let server = Server::start();
    let client = server.client();
    client
        .put(reading("a", "2026-11-20T13:00:00Z", "1"))
        .await
        .with_status(200);
    let unknown = [("/nothing", &[][..]), ("/api/sensors/b", &[])];
    for (path, allowed) in ROUTES.into_iter().chain(unknown) {
        if path == "/api/temperature" {
            continue;
        }
        let get = Answer::to(client.request("GET", path)).await;
        let head = Answer::to(client.request("HEAD", path)).await;
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(
            head.header("content-type"),
            get.header("content-type"),
            "{path}"
        );
        assert!(head.body.is_empty(), "{path}");
        assert_eq!(head.header("location"), get.header("location"), "{path}");
        assert!(
            allowed.is_empty() || matches!(get.status, 200 | 307),
            "{path}: {}",
            get.text()
        );
    }
}

#[tokio::test]
async fn every_answer_carries_a_request_id_of_its_own_or_the_clients() {
    let server = Server::start();
    let client = server.client();
    let mut seen = std::collections::HashSet::new();
    for path in [
        "/api",
        "/api/stats",
        "/nothing",
        "/api/stats?x=1",
        "/livez",
        "/",
    ] {
        let answer = client.get(path).await;
        assert!(
            seen.insert(answer.header("x-request-id").unwrap().to_owned()),
            "{path}"
        );
        let given = client
            .request("GET", path)
            .header("x-request-id", "trace-7.b");
        let answer = Answer::to(given).await;
        assert_eq!(answer.header("x-request-id"), Some("trace-7.b"), "{path}");
        let insane = client.request("GET", path).header("x-request-id", "a\"<b>");
        let answer = Answer::to(insane).await;
        assert!(
            seen.insert(answer.header("x-request-id").unwrap().to_owned()),
            "{path}"
        );
        assert!(!answer.text().contains("<b>"), "{path}");
    }
}

#[tokio::test]
async fn no_answer_is_sniffed_for_another_type() {
    let server = Server::start();
    let client = server.client();
    for path in [
        "/",
        "/api",
        "/api/stats",
        "/api/readings",
        "/nothing",
        "/health",
    ] {
        let answer = client.get(path).await;
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert!(answer.header("content-type").is_some(), "{path}");
    }
}

#[tokio::test]
async fn parameters_that_a_route_does_not_know_are_refused() {
    let server = Server::start();
    let client = server.client();
    client
        .put(reading("a", "2026-11-20T13:00:00Z", "1"))
        .await
        .with_status(200);
    for path in [
        "/api/stats",
        "/api/readings",
        "/api/sensors",
        "/api/sensors/a/readings",
        "/api/sensors/a/series",
    ] {
        let answer = client
            .get(&format!("{path}?form=2026-11-20T13:00:00Z"))
            .await;
        answer.problem_saying(400, "invalid-parameter", &["form"]);
    }
}

#[tokio::test]
async fn the_server_says_whether_it_lives_and_is_ready() {
    let server = Server::start();
    let client = server.client();
    client.get("/livez").await.with_status(200);
    client.get("/readyz").await.with_status(200);
    let health = client.get("/health").await.with_status(200).json();
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["stores"]["readings"]["state"], "healthy");
    assert_eq!(health["stores"]["readings"]["backend"], "sqlite");
}

#[tokio::test]
async fn the_front_page_greets_and_shows_the_statistics() {
    let server = Server::start();
    let client = server.client();
    let empty = client.get("/").await.with_status(200);
    assert!(
        empty
            .header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert!(empty.header("content-security-policy").is_some());
    let page = empty.text();
    assert!(page.contains("<h1>Hello World!</h1>"), "{page}");
    assert!(page.contains('—'), "{page}");
    assert!(!page.contains("<script"), "{page}");
    for (n, temperature) in ["28.25", "-6.125", "1234.5"].into_iter().enumerate() {
        let body = reading("a", &format!("2026-11-20T13:00:0{n}Z"), temperature);
        client.put(body).await.with_status(200);
    }
    let page = client.get("/").await.with_status(200).text();
    assert!(page.contains("<h1>Hello World!</h1>"), "{page}");
    for text in ["1,234.5", "6.125", "418.875"] {
        assert!(page.contains(text), "no {text} in {page}");
    }
}

#[tokio::test]
async fn what_a_client_calls_the_host_cannot_become_part_of_the_page() {
    let server = Server::start();
    for host in ["\"><script>alert(1)</script>", "a'$(id)", "a`id`", "a b"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = Raw::exchange(server.address(), request).await;
        assert!(matches!(answer.status, 200 | 400), "{answer:?}");
        assert!(!answer.text.contains("<script>"), "{answer:?}");
        assert!(!answer.text.contains("$(id)"), "{answer:?}");
        assert!(!answer.text.contains("`id`"), "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_the_next_request_served() {
    let server = Server::start();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"GET /api HTTP/9.9\r\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"PUT /api/temperature HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let answer = Raw::exchange(server.address(), bytes).await;
        assert!(matches!(answer.status, 0 | 400 | 404), "{answer:?}");
    }
    let many: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
    let answer = Raw::exchange(server.address(), format!("GET /api HTTP/1.1\r\n{many}\r\n")).await;
    assert!(matches!(answer.status, 0 | 400 | 431), "{answer:?}");
    server.client().get("/api").await.with_status(200);
    server.client().assert_nothing_stored().await;
}

#[tokio::test]
async fn http_2_is_spoken_with_clients_that_begin_with_it() {
    let server = Server::start();
    let http = http2();
    let request = http.put(format!("{}/api/temperature", server.url()));
    let answer = Answer::to(request.body(reading("a", "2026-11-20T13:00:00Z", "1"))).await;
    answer.with_status(200);
    let response = http
        .get(format!("{}/api/stats", server.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    let body = response.text().await.unwrap();
    assert_eq!(body, r#"{"Maximum":1,"Minimum":1,"Average":1}"#);
}
