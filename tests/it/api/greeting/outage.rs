//! Faults of the network between the server and Redis.
#![cfg(feature = "cloud")]

use std::time::{Duration, Instant};

use crate::support::{Answer, Client, Fault, FaultProxy, Random, RedisServer, Server, reading};

const ANSWER_MAX: Duration = Duration::from_secs(2);
const BACK_MAX: Duration = Duration::from_secs(5);

struct Outage {
    redis: RedisServer,
    proxy: FaultProxy,
    server: Server,
    client: Client,
}

impl Outage {
    fn start() -> Self {
        let redis = RedisServer::start();
        let proxy = FaultProxy::start(redis.address());
        let url = format!("redis://{}", proxy.address());
        let server = Server::with_args(&["--greeting", &url]);
        let client = server.client();
        Self {
            redis,
            proxy,
            server,
            client,
        }
    }

    async fn set(&self, word: &str) -> Answer {
        let request = self.client.request("POST", "/hello");
        Answer::to(request.body(word.to_owned())).await
    }

    async fn word(&self) -> Answer {
        self.client.get("/hello").await
    }

    /// Ends the fault, and waits until the word can be read.
    async fn repair(&self) -> String {
        self.proxy.set(Fault::None);
        let started = Instant::now();
        loop {
            let answer = self.word().await;
            if answer.status == 200 {
                return answer.text();
            }
            assert!(started.elapsed() < BACK_MAX, "{}", answer.text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A whole outage, from beginning to end.
    async fn suffer(&mut self, fault: Fault) {
        self.set("before").await.with_status(200);
        self.proxy.set(fault);
        let started = Instant::now();
        let (read, set, page, health, others) = tokio::join!(
            self.word(),
            self.set("during"),
            self.client.get("/"),
            self.client.get("/health"),
            self.others(),
        );
        assert!(started.elapsed() < ANSWER_MAX, "{:?}", started.elapsed());
        assert!(others < Duration::from_secs(1), "{others:?}");
        for answer in [read, set] {
            answer.problem_saying(503, "unavailable", &["Redis"]);
            assert_eq!(answer.header("retry-after"), Some("5"));
        }
        let page = page.with_status(200).text();
        assert!(page.contains("<h1>Hello World!</h1>"), "{page}");
        assert!(page.contains("cannot be had"), "{page}");
        let health = health.with_status(503).json();
        assert_eq!(health["status"], "unhealthy");
        assert_eq!(health["stores"]["greeting"]["state"], "unhealthy");
        assert_eq!(health["stores"]["readings"]["state"], "healthy");

        let word = self.repair().await;
        assert!(matches!(word.as_str(), "before" | "during"), "{word}");
        self.set("after").await.with_status(200);
        assert_eq!(self.word().await.text(), "after");
        self.client.get("/health").await.with_status(200);
        assert!(!self.server.has_ended());
        let started = Instant::now();
        while self.redis.clients() > 1 {
            assert!(started.elapsed() < BACK_MAX, "connections have leaked");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends requests that do not need Redis, and returns the time until the last answer.
    async fn others(&self) -> Duration {
        let started = Instant::now();
        for path in ["/api/stats", "/livez", "/readyz", "/api/sensors"] {
            self.client.get(path).await.with_status(200);
        }
        let body = reading("a", "2026-11-20T13:00:00Z", "1");
        self.client.put(body).await.with_status(200);
        started.elapsed()
    }
}

/// Makes a separate test of each fault.
macro_rules! outages {
    ($($name:ident: $fault:expr),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                let mut outage = Outage::start();
                for _ in 0..2 {
                    outage.suffer($fault).await;
                }
            }
        )*
    };
}

outages! {
    redis_that_refuses_costs_its_own_routes: Fault::Refuse,
    redis_that_resets_costs_its_own_routes: Fault::Reset,
    redis_in_a_black_hole_costs_its_own_routes: Fault::Blackhole,
    redis_that_is_far_too_slow_costs_its_own_routes: Fault::Delay(Duration::from_secs(5)),
    redis_whose_connections_are_cut_costs_its_own_routes: Fault::CutAfter(0),
    redis_whose_answers_are_cut_costs_its_own_routes: Fault::CutAnswers,
    somebody_else_in_place_of_redis_costs_its_own_routes: Fault::Answer("HTTP/1.1 400 Bad Request\r\n\r\n"),
}

#[tokio::test]
async fn redis_that_is_slow_but_there_is_waited_for() {
    let outage = Outage::start();
    outage.proxy.set(Fault::Delay(Duration::from_millis(100)));
    outage.set("slow").await.with_status(200);
    assert_eq!(outage.word().await.with_status(200).text(), "slow");
    let page = outage.client.get("/").await.with_status(200).text();
    assert!(page.contains("<h1>Hello slow!</h1>"), "{page}");
}

#[tokio::test]
async fn a_page_is_not_slowed_and_keeps_the_word_it_last_saw() {
    let outage = Outage::start();
    outage.set("Ann").await.with_status(200);
    let page = outage.client.get("/").await.with_status(200).text();
    assert!(page.contains("<h1>Hello Ann!</h1>"), "{page}");
    assert!(!page.contains("cannot be had"), "{page}");
    outage.proxy.set(Fault::Blackhole);
    let started = Instant::now();
    for _ in 0..20 {
        let asked = Instant::now();
        let page = outage.client.get("/").await.with_status(200).text();
        assert!(page.contains("<h1>Hello Ann!</h1>"), "{page}");
        assert!(page.contains("cannot be had"), "{page}");
        assert!(asked.elapsed() < Duration::from_secs(1));
    }
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(outage.repair().await, "Ann");
}

#[tokio::test]
async fn a_command_that_comes_late_does_not_undo_a_later_word() {
    let outage = Outage::start();
    let other = Server::with_args(&["--greeting", &outage.redis.url()]);
    outage.set("before").await.with_status(200);
    outage.proxy.set(Fault::Delay(Duration::from_millis(300)));
    let key = "fieldstation:greeting";
    let later = async {
        // The slow server has a ticket, but has not set the word yet.
        let started = Instant::now();
        while outage.redis.command(&["HGET", key, "drawn"]) != "2" {
            assert!(started.elapsed() < Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let client = other.client();
        let set = client.request("POST", "/hello").body("later");
        Answer::to(set).await.with_status(200);
        assert_eq!(outage.redis.command(&["HGET", key, "ticket"]), "3");
    };
    let (late, ()) = tokio::join!(outage.set("late"), later);
    late.with_status(200);
    assert_eq!(outage.repair().await, "later");
}

#[tokio::test]
async fn a_word_that_was_acknowledged_is_never_undone_by_one_that_was_sent_before_it() {
    let outage = Outage::start();
    let mut random = Random::new(7);
    let mut acknowledged = 0;
    for n in 1..=60u32 {
        let fault = match random.below(6) {
            0 => Fault::CutAnswers,
            1 => Fault::CutAfter(random.below(400)),
            2 => Fault::Delay(Duration::from_millis(random.below(40))),
            3 => Fault::Reset,
            _ => Fault::None,
        };
        outage.proxy.set(fault);
        match outage.set(&n.to_string()).await.status {
            200 => acknowledged = n,
            status => assert_eq!(status, 503),
        }
        if n % 5 == 0 {
            let word: u32 = outage.repair().await.parse().unwrap_or(0);
            assert!(
                (acknowledged..=n).contains(&word),
                "{word} stands, {acknowledged} was acknowledged, {n} was sent"
            );
        }
    }
    assert!(acknowledged > 0);
}
