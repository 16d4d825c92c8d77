//! Warnings about a Redis: a replica, an eviction policy, no persistence, missing rights.
#![cfg(feature = "cloud")]

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Answer, Client, Fault, FaultProxy, RedisServer, Server};

async fn set(client: &Client, word: &str) -> Answer {
    Answer::to(client.request("POST", "/hello").body(word.to_owned())).await
}

fn serve(url: &str) -> Server {
    Server::with_args(&["--greeting", url, "--needed", "greeting"])
}

async fn greeting_of_health(client: &Client) -> Value {
    client.get("/health").await.json()["stores"]["greeting"].clone()
}

fn count(server: &Server, message: &str) -> usize {
    let message = format!("\"message\":\"{message}\"");
    let log = server.log();
    log.lines().filter(|line| line.contains(&message)).count()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} does not happen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_may_lose_the_word_is_warned_about_once_and_in_health() {
    let redis = RedisServer::with_args(&["--appendonly", "no"]);
    redis.command(&["CONFIG", "SET", "maxmemory", "100mb"]);
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let server = serve(&redis.url());
    let client = server.client();
    let mut warnings = Vec::new();
    until("a warning", async || {
        let health = greeting_of_health(&client).await;
        assert_eq!(health["state"], "healthy");
        warnings = health["warnings"].as_array().cloned().unwrap_or_default();
        warnings.len() == 2
    })
    .await;
    let text = Value::from(warnings).to_string();
    for words in ["allkeys-lru", "noeviction", "appendonly yes"] {
        assert!(text.contains(words), "{text}");
    }
    client.get("/readyz").await.with_status(200);
    set(&client, "taken").await.with_status(200);
    let told = "a backend may lose data";
    assert_eq!(count(&server, told), 2, "{}", server.log());

    // After a broken connection the server checks Redis again, and removes an outdated warning.
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    set(&client, "again").await.with_status(200);
    until("one warning less", async || {
        let health = greeting_of_health(&client).await;
        health["warnings"]
            .as_array()
            .is_some_and(|it| it.len() == 1)
    })
    .await;
    assert_eq!(count(&server, told), 2, "{}", server.log());

    let well = RedisServer::start();
    let server = serve(&well.url());
    let client = server.client();
    set(&client, "kept").await.with_status(200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(greeting_of_health(&client).await["warnings"], Value::Null);
    assert_eq!(count(&server, told), 0);
}

#[tokio::test]
async fn a_replica_is_not_ready_until_it_is_the_primary() {
    let primary = RedisServer::start();
    primary.command(&["HSET", "fieldstation:greeting", "word", "Ann"]);
    let port = primary.address().port().to_string();
    let replica = RedisServer::with_args(&["--replicaof", &format!("127.0.0.1 {port}")]);
    until("a copy", async || {
        replica.command(&["HGET", "fieldstation:greeting", "word"]) == "Ann"
    })
    .await;
    let server = serve(&replica.url());
    let client = server.client();
    until("a word about it", async || {
        let ready = client.get("/readyz").await;
        ready.status == 503 && ready.text().contains("replica")
    })
    .await;
    // Reads work on a replica.
    assert_eq!(client.get("/hello").await.with_status(200).text(), "Ann");
    let refused = set(&client, "lost").await;
    refused.problem_saying(503, "unavailable", &["replica"]);
    let health = greeting_of_health(&client).await;
    assert!(
        health["reason"].as_str().unwrap().contains("primary"),
        "{health}"
    );
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    until("readiness", async || {
        client.get("/readyz").await.status == 200
    })
    .await;
    set(&client, "taken").await.with_status(200);
    until("the end", async || {
        count(&server, "trouble with a backend has ended") == 1
    })
    .await;
    assert_eq!(
        count(&server, "trouble with a backend"),
        1,
        "{}",
        server.log()
    );
}

#[tokio::test]
async fn a_user_without_rights_is_denied_at_once_and_named_once_until_it_has_them() {
    let redis = RedisServer::start();
    redis.command(&[
        "ACL", "SETUSER", "ann", "on", ">s3cret", "~*", "+ping", "+hget",
    ]);
    let server = serve(&format!("redis://ann:s3cret@{}", redis.address()));
    let client = server.client();
    assert_eq!(client.get("/hello").await.with_status(200).text(), "World");
    for n in 0..20 {
        let began = Instant::now();
        let refused = set(&client, &n.to_string()).await;
        refused.problem_saying(503, "unavailable", &["HINCRBY"]);
        assert_eq!(refused.header("retry-after"), Some("30"));
        assert!(began.elapsed() < Duration::from_secs(1));
        // A success of other requests does not clear the state.
        client.get("/hello").await.with_status(200);
    }
    let ready = client.get("/readyz").await;
    assert!(
        ready.status == 503 && ready.text().contains("HINCRBY"),
        "{}",
        ready.text()
    );
    assert_eq!(
        count(&server, "trouble with a backend"),
        1,
        "{}",
        server.log()
    );
    assert_eq!(
        count(&server, "trouble with a backend goes on"),
        0,
        "{}",
        server.log()
    );
    // The commands in docs/how-to/keep-the-greeting-in-redis.md, without INFO and CONFIG.
    redis.command(&["ACL", "SETUSER", "ann", "+hset", "+hincrby", "+eval"]);
    until("readiness", async || {
        client.get("/readyz").await.status == 200
    })
    .await;
    set(&client, "taken").await.with_status(200);
    until("the end", async || {
        count(&server, "trouble with a backend has ended") == 1
    })
    .await;
    assert!(!server.log().contains("s3cret"));
}

#[tokio::test]
async fn a_password_that_is_wrong_is_named_once_and_found_right_later() {
    let redis = RedisServer::start();
    redis.command(&["CONFIG", "SET", "requirepass", "another"]);
    let server = serve(&format!("redis://:s3cret@{}", redis.address()));
    let client = server.client();
    for _ in 0..10 {
        let refused = client.get("/hello").await;
        refused.problem_saying(503, "unavailable", &["password"]);
        assert_eq!(refused.header("retry-after"), Some("30"));
    }
    assert!(client.get("/readyz").await.text().contains("password"));
    assert_eq!(
        count(&server, "trouble with a backend"),
        1,
        "{}",
        server.log()
    );
    redis.command(&[
        "-a",
        "another",
        "--no-auth-warning",
        "CONFIG",
        "SET",
        "requirepass",
        "s3cret",
    ]);
    until("recovery", async || {
        client.get("/hello").await.status == 200
    })
    .await;
    until("the end", async || {
        count(&server, "trouble with a backend has ended") == 1
    })
    .await;
    assert!(!server.log().contains("s3cret"));
}

#[tokio::test]
async fn an_outage_of_redis_is_logged_when_it_starts_and_when_it_ends() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.address());
    proxy.set(Fault::Refuse);
    let server = serve(&format!("redis://{}", proxy.address()));
    let client = server.client();
    // The server checks at the start, before any request.
    until("a line", async || {
        count(&server, "trouble with a backend") == 1
    })
    .await;
    for _ in 0..50 {
        client.get("/hello").await.problem(503, "unavailable");
    }
    assert_eq!(
        count(&server, "trouble with a backend"),
        1,
        "{}",
        server.log()
    );
    proxy.set(Fault::None);
    // The server also checks without requests.
    until("the end", async || {
        count(&server, "trouble with a backend has ended") == 1
    })
    .await;
    client.get("/hello").await.with_status(200);
    assert_eq!(
        count(&server, "trouble with a backend goes on"),
        0,
        "{}",
        server.log()
    );
}
