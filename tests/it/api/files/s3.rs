//! The server detects an unsuitable S3 before an upload depends on S3, and reports the problem once.
#![cfg(feature = "cloud")]

use std::time::{Duration, Instant};

use axum::http::Method;
use futures_util::future::join_all;
use serde_json::Value;

use crate::support::{
    Answer, Client, Fault, FaultProxy, S3Kind, S3Proxy, S3Server, Server, random_bytes,
};

/// The longest wait of a client, whatever S3 does.
const TIMEOUT: Duration = Duration::from_secs(10);

struct Setup {
    s3: S3Server,
    gate: S3Proxy,
}

impl Setup {
    fn of(kind: S3Kind) -> Self {
        let s3 = S3Server::start_kind(kind);
        let gate = S3Proxy::start(s3.address());
        Self { s3, gate }
    }

    fn server(&self) -> Server {
        let url = S3Server::url_at(self.gate.address());
        Server::with_args(&["--files", &url, "--needed", "files"])
    }
}

/// The lines in the log about an outage of the files: start, reminder, end.
fn lines(server: &Server) -> [usize; 3] {
    let log = server.log();
    let count = |what: &str| {
        let message = format!("\"message\":\"{what}\"");
        let found = log.lines().filter(|line| line.contains(&message));
        found.filter(|line| line.contains("\"files\"")).count()
    };
    [
        count("trouble with a backend"),
        count("trouble with a backend goes on"),
        count("trouble with a backend has ended"),
    ]
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} does not happen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn files_of_health(client: &Client) -> Value {
    client.get("/health").await.json()["stores"]["files"].clone()
}

/// Whether the server reports trouble with the files, and a reason with these words.
async fn is_said(client: &Client, words: &[&str]) -> bool {
    let files = files_of_health(client).await;
    let ready = client.get("/readyz").await;
    let reason = files["reason"].as_str().unwrap_or_default();
    ready.status == 503
        && words
            .iter()
            .all(|word| reason.contains(word) && ready.text().contains(word))
}

async fn rivals(client: &Client, tag: &str) -> Vec<u16> {
    let sent = (0..12).map(|number| {
        let request = client
            .request("PUT", "/api/devices/d")
            .header("if-match", tag)
            .header("content-type", "text/plain")
            .body(format!("rival {number}"));
        async move { Answer::to(request).await.status }
    });
    join_all(sent).await
}

#[tokio::test]
async fn of_twelve_rivals_one_wins_and_without_conditional_writes_none_is_let_in() {
    for kind in [S3Kind::Moto, S3Kind::Ministack] {
        let setup = Setup::of(kind);
        let server = setup.server();
        let client = server.client();
        let first = client.send_file("d", "first").await.with_status(200);
        let tag = first.header("etag").unwrap().to_owned();
        let statuses = rivals(&client, &tag).await;
        let won = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!(won, 1, "{kind:?}: {statuses:?}");
        assert!(
            statuses.iter().all(|status| [200, 412].contains(status)),
            "{statuses:?}"
        );

        drop(server);
        for (forgotten, named) in [
            (&["if-match"][..], "If-Match"),
            (&["if-none-match"], "If-None-Match"),
            (&["if-match", "if-none-match"], "If-None-Match"),
        ] {
            setup.gate.forget(forgotten);
            let server = setup.server();
            let client = server.client();
            let tag = client.get("/api/devices/d/content").await;
            let tag = tag.header("etag").unwrap().to_owned();
            until("a word about it", async || {
                is_said(&client, &[named, "conditional writes"]).await
            })
            .await;
            let before = client.file("d").await;
            let statuses = rivals(&client, &tag).await;
            assert_eq!(statuses, [503; 12], "{kind:?} without {forgotten:?}");
            let refused = client.send_file("d", "new").await;
            refused.problem_saying(503, "unavailable", &[named]);
            // Reads are still safe.
            assert_eq!(client.file("d").await, before);
            assert_eq!(lines(&server), [1, 0, 0], "{}", server.log());
            let no_trials = || setup.s3.keys().iter().all(|key| !key.contains("/probe/"));
            until("the end of the trials", async || no_trials()).await;
        }
    }
}

#[tokio::test]
async fn what_is_denied_is_named_at_once_and_once_until_it_is_allowed() {
    for (methods, status, code, words) in [
        (
            &[Method::PUT, Method::POST][..],
            403,
            "AccessDenied",
            "policy",
        ),
        (&[], 403, "InvalidAccessKeyId", "credentials"),
        (&[], 400, "ExpiredToken", "renew"),
        (&[], 404, "NoSuchBucket", "create it"),
        (&[], 403, "RequestTimeTooSkewed", "clock"),
    ] {
        let setup = Setup::of(S3Kind::Moto);
        setup.gate.refuse(methods, status, code);
        let server = setup.server();
        let client = server.client();
        until("a word about it", async || {
            is_said(&client, &[code, words]).await
        })
        .await;
        let (_, before) = setup.gate.counts();
        let began = Instant::now();
        let answers = join_all((0..20).map(|n| {
            let client = client.clone();
            async move {
                let began = Instant::now();
                let answer = client.send_file(&format!("d{n}"), "new").await;
                assert!(
                    began.elapsed() < Duration::from_secs(1),
                    "{:?}",
                    began.elapsed()
                );
                answer
            }
        }))
        .await;
        for answer in answers {
            answer.problem_saying(503, "unavailable", &[code]);
            assert_eq!(answer.header("retry-after"), Some("30"));
        }
        let (_, after) = setup.gate.counts();
        assert!(after - before < 10, "{code}: {} requests", after - before);
        if methods.is_empty() {
            let list = client.get("/api/devices/").await;
            list.problem_saying(503, "unavailable", &[code]);
        } else {
            assert_eq!(client.devices().await, [""; 0]);
        }
        assert!(began.elapsed() < Duration::from_secs(5));
        let log = server.log();
        assert_eq!(lines(&server), [1, 0, 0], "{code}: {log}");

        setup.gate.open();
        until("recovery", async || {
            client.send_file("d", "after").await.status == 200
        })
        .await;
        until("readiness", async || {
            client.get("/readyz").await.status == 200
        })
        .await;
        until("the end", async || lines(&server)[2] == 1).await;
        assert_eq!(client.file("d").await, b"after");
    }
}

#[tokio::test]
async fn rights_that_are_withdrawn_later_show_in_readiness_until_they_are_back() {
    let setup = Setup::of(S3Kind::Ministack);
    let server = setup.server();
    let client = server.client();
    client.send_file("d", "before").await.with_status(200);
    client.get("/readyz").await.with_status(200);
    setup
        .gate
        .refuse(&[Method::PUT, Method::POST], 403, "AccessDenied");
    client
        .send_file("d", "new")
        .await
        .problem(503, "unavailable");
    for _ in 0..3 {
        assert!(is_said(&client, &["AccessDenied"]).await);
        assert_eq!(client.file("d").await, b"before");
    }
    assert_eq!(lines(&server), [1, 0, 0], "{}", server.log());
    setup.gate.open();
    until("readiness", async || {
        client.get("/readyz").await.status == 200
    })
    .await;
    client.send_file("d", "after").await.with_status(200);
}

#[tokio::test]
async fn an_s3_that_is_unavailable_at_the_start_is_checked_later() {
    let setup = Setup::of(S3Kind::Moto);
    setup.gate.forget(&["if-match"]);
    let proxy = FaultProxy::start(setup.gate.address());
    proxy.set(Fault::Refuse);
    let url = S3Server::url_at(proxy.address());
    let server = Server::with_args(&["--files", &url, "--needed", "files"]);
    let client = server.client();
    until("a word about it", async || lines(&server)[0] == 1).await;
    proxy.set(Fault::None);
    let answer = client.send_file("d", "new").await;
    answer.problem_saying(503, "unavailable", &["If-Match"]);
    assert!(is_said(&client, &["If-Match"]).await);
}

type Pending<'a> = std::pin::Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// Requests to every route, each with a name.
async fn every_route(client: &Client) -> Vec<(&'static str, Answer, Duration)> {
    let conditional = client
        .request("PUT", "/api/devices/d")
        .header("if-match", "*")
        .header("content-type", "text/plain")
        .body("conditional");
    let create = client
        .request("PUT", "/api/devices/new")
        .header("if-none-match", "*")
        .header("content-type", "text/plain")
        .body("created");
    let removal = client
        .request("DELETE", "/api/devices/gone")
        .header("if-match", "*");
    let timed = async |what, answer: Pending<'_>| {
        let began = Instant::now();
        let answer = answer.await;
        (what, answer, began.elapsed())
    };
    let large = random_bytes(7 << 20);
    let requests: Vec<(_, Pending<'_>)> = vec![
        ("a small upload", Box::pin(client.send_file("e", "new"))),
        (
            "an upload of 4 MB",
            Box::pin(client.send_file("g", large[..4 << 20].to_vec())),
        ),
        (
            "an upload in parts",
            Box::pin(client.send_file("f", large.clone())),
        ),
        ("a conditional upload", Box::pin(Answer::to(conditional))),
        ("a creation", Box::pin(Answer::to(create))),
        ("a text", Box::pin(client.get("/api/devices/d"))),
        ("a download", Box::pin(client.get("/api/devices/d/content"))),
        ("a look", Box::pin(client.get("/api/devices/d/info"))),
        ("a list", Box::pin(client.get("/api/devices/"))),
        ("a removal", Box::pin(Answer::to(removal))),
        ("health", Box::pin(client.get("/health"))),
    ];
    join_all(
        requests
            .into_iter()
            .map(|(what, request)| timed(what, request)),
    )
    .await
}

#[tokio::test]
async fn whatever_the_network_to_s3_takes_an_answer_comes_within_ten_seconds() {
    let s3 = S3Server::start();
    let proxy = FaultProxy::start(s3.address());
    let server = Server::with_args(&["--files", &S3Server::url_at(proxy.address())]);
    let client = server.client();
    client.send_file("d", "before").await.with_status(200);
    client.send_file("gone", "before").await.with_status(200);
    for delay in [1000, 2000, 3000, 4500] {
        proxy.set(Fault::Delay(Duration::from_millis(delay)));
        for (what, answer, took) in every_route(&client).await {
            println!("{delay} ms: {what} is {} after {took:?}", answer.status);
            assert!(took < TIMEOUT, "{what} took {took:?} with {delay} ms");
            assert!(
                matches!(answer.status, 200 | 204 | 404 | 412 | 503),
                "{what}: {}",
                answer.text()
            );
        }
    }
    proxy.set(Fault::None);
    client.send_file("d", "after").await.with_status(200);
    assert_eq!(client.file("d").await, b"after");
}

#[tokio::test]
async fn clocks_that_differ_let_no_server_sweep_what_another_one_is_about_to_name() {
    for hours in [-48, -1, 1, 48] {
        let setup = Setup::of(S3Kind::Moto);
        setup.s3.put("content/d!left");
        setup.gate.shift_clock(hours);
        let server = setup.server();
        let client = server.client();
        client.send_file("e", "new").await.with_status(200);
        // The sweep comes after the trial, and lists the blobs.
        until("the sweep", async || {
            let keys = setup.s3.keys();
            let (passed, _) = setup.gate.counts();
            passed >= 15 && !keys.iter().any(|key| key.contains("/probe/"))
        })
        .await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let keys = setup.s3.keys();
        assert!(
            keys.iter().any(|key| key.ends_with("content/d!left")),
            "{hours} hours: {keys:?}"
        );
    }
}

#[tokio::test]
async fn a_file_in_a_bucket_that_is_not_what_was_stored_never_looks_whole() {
    const LENGTH: usize = 1_000_000;
    let s3 = S3Server::start();
    let server = Server::with_args(&["--files", &s3.url()]);
    let client = server.client();
    let sent = client.send_file("boiler", random_bytes(LENGTH)).await;
    sent.with_status(200);
    let keys = s3.keys_of("fieldstation");
    let blob = keys.iter().find(|key| key.contains("content/")).unwrap();
    let mut bytes = random_bytes(LENGTH);
    bytes[LENGTH / 2] ^= 1;
    s3.put_object("fieldstation", blob, None, &bytes);
    for path in ["/api/devices/boiler", "/api/devices/boiler/content"] {
        let answer = Answer::try_to(client.request("GET", path)).await;
        assert!(answer.is_err(), "{path} was served whole");
    }
    s3.put_object("fieldstation", blob, None, &bytes[1..]);
    let cut = client.get("/api/devices/boiler/content").await;
    cut.problem(500, "damaged");
}
