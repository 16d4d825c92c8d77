//! The greeting with real servers and a real Redis.
#![cfg(feature = "cloud")]

use std::time::{Duration, Instant};

use crate::support::{Answer, Client, RedisServer, Server};

async fn set(client: &Client, word: &str) -> Answer {
    Answer::to(client.request("POST", "/hello").body(word.to_owned())).await
}

async fn word(client: &Client) -> String {
    client.get("/hello").await.with_status(200).text()
}

#[tokio::test]
async fn two_servers_see_each_others_word_at_once() {
    let redis = RedisServer::start();
    let servers = [(); 2].map(|()| Server::with_args(&["--greeting", &redis.url()]));
    let [one, other] = servers.each_ref().map(Server::client);
    assert_eq!(word(&one).await, "World");
    for n in 0..20 {
        let (writer, reader) = if n % 2 == 0 {
            (&one, &other)
        } else {
            (&other, &one)
        };
        let text = format!("Wörld {n}");
        set(writer, &text).await.with_status(200);
        assert_eq!(word(reader).await, text);
        let page = reader.get("/").await.with_status(200).text();
        assert!(page.contains(&format!("<h1>Hello {text}!</h1>")), "{page}");
    }
    let many = (0..40).map(|n| {
        let client = if n % 2 == 0 { &one } else { &other };
        async move { set(client, &format!("many {n}")).await.with_status(200) }
    });
    futures_util::future::join_all(many).await;
    assert_eq!(word(&one).await, word(&other).await);
    assert_eq!(redis.clients(), 2);
    for server in servers {
        assert_eq!(server.stop().code, Some(0));
    }
}

#[tokio::test]
async fn words_survive_a_kill_of_redis_that_saves_them_and_the_server_comes_back_by_itself() {
    let mut redis = RedisServer::start();
    let mut server = Server::with_args(&["--greeting", &redis.url()]);
    let client = server.client();
    for round in 0..3 {
        let text = format!("round {round}");
        set(&client, &text).await.with_status(200);
        redis.kill9();
        let started = Instant::now();
        let gone = client.get("/hello").await;
        gone.problem(503, "unavailable");
        assert_eq!(gone.header("retry-after"), Some("5"));
        assert!(started.elapsed() < Duration::from_secs(2));
        redis.start_again();
        let started = Instant::now();
        while client.get("/hello").await.status != 200 {
            assert!(started.elapsed() < Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(word(&client).await, text);
    }
    assert!(!server.has_ended());
    assert_eq!(redis.clients(), 1);
}

#[tokio::test]
async fn a_restart_of_redis_that_nobody_noticed_costs_nobody_an_error() {
    let mut redis = RedisServer::start();
    let server = Server::with_args(&["--greeting", &redis.url()]);
    let client = server.client();
    set(&client, "before").await.with_status(200);
    redis.kill9();
    redis.start_again();
    set(&client, "after").await.with_status(200);
    redis.kill9();
    redis.start_again();
    assert_eq!(word(&client).await, "after");
}

#[tokio::test]
async fn a_server_starts_without_its_redis_and_answers_everything_else() {
    let mut redis = RedisServer::start();
    redis.kill9();
    let server = Server::with_args(&["--greeting", &redis.url()]);
    let client = server.client();
    client.get("/api/stats").await.with_status(200);
    client.get("/readyz").await.with_status(200);
    let page = client.get("/").await.with_status(200).text();
    assert!(page.contains("<h1>Hello World!</h1>"), "{page}");
    client.get("/hello").await.problem(503, "unavailable");
    set(&client, "lost").await.problem(503, "unavailable");
    redis.start_again();
    let started = Instant::now();
    while set(&client, "found").await.status != 200 {
        assert!(started.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(word(&client).await, "found");
}

#[tokio::test]
async fn a_password_a_database_and_a_prefix_are_used_and_never_shown() {
    let redis = RedisServer::with_args(&["--requirepass", "s3cret-w0rd"]);
    let address = redis.address();
    let url = format!("redis://:s3cret-w0rd@{address}/2?prefix=plant:");
    let server = Server::with_args(&["--greeting", &url, "--log", "debug"]);
    let client = server.client();
    set(&client, "Ann").await.with_status(200);
    let ask = |arguments: &[&str]| {
        let login = ["-a", "s3cret-w0rd", "--no-auth-warning", "-n", "2"];
        redis.command(&[&login[..], arguments].concat())
    };
    assert_eq!(ask(&["KEYS", "*"]), "plant:greeting");
    assert_eq!(ask(&["HGET", "plant:greeting", "word"]), "Ann");
    // A person may set the word by hand.
    ask(&["HSET", "plant:greeting", "word", "Bea"]);
    assert_eq!(word(&client).await, "Bea");
    assert!(!server.log().contains("s3cret"), "{}", server.log());

    for url in [
        format!("redis://{address}"),
        format!("redis://:wr0ng-w0rd@{address}"),
        format!("redis://nobody:wr0ng-w0rd@{address}"),
    ] {
        let server = Server::with_args(&["--greeting", &url, "--log", "debug"]);
        let answer = server.client().get("/hello").await;
        answer.problem_saying(503, "unavailable", &["password"]);
        let health = server.client().get("/health").await.with_status(503).text();
        assert!(!health.contains("wr0ng"), "{health}");
        assert!(!server.log().contains("wr0ng"), "{}", server.log());
    }
}

#[tokio::test]
async fn tls_is_spoken_with_a_server_whose_certificate_is_trusted_and_with_no_other() {
    let redis = RedisServer::with_tls();
    let address = redis.address();
    let certificate = redis.certificate();
    let url = format!("rediss://{address}?ca={}", certificate.display());
    let server = Server::with_args(&["--greeting", &url]);
    set(&server.client(), "sealed").await.with_status(200);
    assert_eq!(word(&server.client()).await, "sealed");

    for url in [
        // The certificate has no trusted issuer.
        format!("rediss://{address}"),
        // The certificate is for another name.
        format!(
            "rediss://localhost:{}?ca={}",
            address.port(),
            certificate.display()
        ),
        // Redis refuses connections without TLS.
        format!("redis://{address}"),
    ] {
        let server = Server::with_args(&["--greeting", &url]);
        let answer = server.client().get("/hello").await;
        answer.problem(503, "unavailable");
    }
}

#[tokio::test]
async fn what_others_put_under_the_key_is_named_and_never_overwritten() {
    let redis = RedisServer::start();
    let server = Server::with_args(&["--greeting", &redis.url()]);
    let client = server.client();
    redis.command(&["SET", "fieldstation:greeting", "theirs"]);
    let answer = client.get("/hello").await;
    answer.problem_saying(500, "damaged", &["prefix"]);
    set(&client, "ours").await.problem(500, "damaged");
    assert_eq!(redis.command(&["GET", "fieldstation:greeting"]), "theirs");
    client.get("/").await.with_status(200);

    redis.command(&["DEL", "fieldstation:greeting"]);
    redis.command(&["HSET", "fieldstation:greeting", "word", "a\u{1}b"]);
    let answer = client.get("/hello").await;
    answer.problem_saying(500, "damaged", &["POST /hello"]);
    set(&client, "ours").await.with_status(200);
    assert_eq!(word(&client).await, "ours");
}

#[tokio::test]
async fn a_redis_that_is_full_or_a_replica_says_so_and_keeps_the_word() {
    let redis = RedisServer::start();
    let server = Server::with_args(&["--greeting", &redis.url()]);
    let client = server.client();
    set(&client, "kept").await.with_status(200);
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    set(&client, "lost").await.problem(507, "storage-full");
    assert_eq!(word(&client).await, "kept");
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);

    redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
    let answer = set(&client, "lost").await;
    answer.problem_saying(503, "unavailable", &["Redis"]);
    redis.command(&["REPLICAOF", "NO", "ONE"]);
    set(&client, "set").await.with_status(200);
    assert_eq!(word(&client).await, "set");
}

#[tokio::test]
async fn redis_that_lost_its_last_changes_still_takes_every_word() {
    let redis = RedisServer::start();
    let server = Server::with_args(&["--greeting", &redis.url()]);
    let client = server.client();
    for lost in [
        &["HDEL", "fieldstation:greeting", "drawn"][..],
        &["HDEL", "fieldstation:greeting", "ticket"],
        &["HSET", "fieldstation:greeting", "ticket", "1000"],
        &["HSET", "fieldstation:greeting", "drawn", "1"],
        &["HSET", "fieldstation:greeting", "ticket", "?"],
        &["DEL", "fieldstation:greeting"],
    ] {
        for text in ["one", "two", "three"] {
            set(&client, text).await.with_status(200);
        }
        redis.command(lost);
        for text in ["four", "five"] {
            set(&client, text).await.with_status(200);
            assert_eq!(word(&client).await, text, "{lost:?}");
        }
    }
}
