//! DynamoDB denies requests: rights are missing, or credentials are not accepted. The server answers at once with the reason, and
//! recovers without help after a correction of the setup.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fieldstation::readings::dynamodb::DynamoStore;

use super::{assert_consistent, credentials, location, until_ready};
use crate::support::{
    Client, DynamoProxy, DynamoServer, Exited, InterceptedRequest, Reaction, Server, lines, reading,
};

const NOT_ALLOWED: &str = "User: arn:aws:sts::123456789012:assumed-role/fleet/task is not authorized to perform: dynamodb:PutItem on \
    resource: arn:aws:dynamodb:eu-west-1:123456789012:table/test-temperature-readings because no identity-based policy allows the \
    dynamodb:PutItem action";
/// AWS's message repeats the signed text.
const REJECTED: &str = "The request signature we calculated does not match the signature you provided. The Canonical String \
    for this request should have been 'x-amz-security-token:THE-TOKEN-OF-A-SESSION'";

struct Scene {
    dynamo: DynamoServer,
    gate: DynamoProxy,
}

impl Scene {
    async fn new() -> Self {
        let dynamo = DynamoServer::start();
        DynamoStore::create_tables(&location(&dynamo.url()), Some(&credentials()))
            .await
            .unwrap();
        let gate = DynamoProxy::start(dynamo.address());
        Self { dynamo, gate }
    }

    fn url(&self) -> String {
        self.dynamo.url_through(self.gate.address())
    }

    fn server(&self) -> Server {
        Server::with_args(&["--readings", &self.url()])
    }
}

fn deny_transactions(asked: &InterceptedRequest<'_>) -> Reaction {
    match asked.operation {
        "TransactWriteItems" => Reaction::refuse("AccessDeniedException", NOT_ALLOWED),
        _ => Reaction::Pass,
    }
}

fn lines_of(log: &str, words: &str) -> usize {
    log.lines().filter(|line| line.contains(words)).count()
}

#[tokio::test]
async fn a_write_that_is_denied_fails_at_once_and_is_named_until_it_is_allowed() {
    let scene = Scene::new().await;
    let server = scene.server();
    let client = server.client();
    client.store(lines("a", 10)).await;

    scene.gate.set(deny_transactions);
    for attempt in 0..2 {
        let started = Instant::now();
        let answer = client.put(reading("a", "2026-11-21T13:00:00Z", "5")).await;
        let words = ["dynamodb:PutItem", "test-temperature-readings", "policy"];
        answer.problem_saying(503, "unavailable", &words);
        assert!(!answer.text().contains("123456789012"), "{}", answer.text());
        assert_eq!(answer.header("retry-after"), Some("30"));
        assert!(started.elapsed() < Duration::from_secs(1), "{attempt}");
        // A new sensor is looked up first.
        let started = Instant::now();
        let answer = client
            .post("", "application/x-ndjson", lines("b", 150))
            .await;
        answer.problem_saying(503, "unavailable", &words);
        assert!(started.elapsed() < Duration::from_secs(1), "{attempt}");
    }
    let before = scene.gate.counts();
    for path in ["/health", "/readyz"] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(
            answer.text().contains("dynamodb:PutItem"),
            "{}",
            answer.text()
        );
    }
    // Reads still work.
    client.stats("").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(client.get("/readyz").await.status, 503);
    let asked = scene.gate.counts().since(&before);
    assert!(asked.requests() < 25, "{asked:?}");

    // No client sends anything while the server is not ready, and the server still notices.
    scene.gate.open();
    until_ready(&client, Duration::from_secs(5)).await;
    client
        .put(reading("a", "2026-11-21T13:00:00Z", "5"))
        .await
        .with_status(200);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let log = server.log();
    assert_eq!(lines_of(&log, "\"trouble with a backend\""), 1, "{log}");
    assert_eq!(lines_of(&log, "goes on"), 0, "{log}");
    assert_eq!(
        lines_of(&log, "trouble with a backend has ended"),
        1,
        "{log}"
    );
    // The log line names the role. The answer does not name the role.
    let named = log
        .lines()
        .find(|line| line.contains("trouble with a backend"));
    assert!(named.unwrap().contains("assumed-role/fleet/task"), "{log}");
    assert_eq!(
        assert_consistent(&scene.dynamo.url()).await.stats.count(),
        11
    );
}

#[tokio::test]
async fn rejected_credentials_make_few_requests_and_few_lines() {
    for code in ["UnrecognizedClientException", "InvalidSignatureException"] {
        let scene = Scene::new().await;
        let server = scene.server();
        server.client().store(lines("a", 10)).await;
        scene.gate.set(move |_| Reaction::refuse(code, REJECTED));
        let before = scene.gate.counts();
        let until = Instant::now() + Duration::from_secs(8);
        let clients = (0..5).map(|number| {
            let client = server.client();
            tokio::spawn(async move {
                while Instant::now() < until {
                    let started = Instant::now();
                    let sensor = format!("new-{number}");
                    let answer = client
                        .put(reading(&sensor, "2026-11-21T13:00:00Z", "5"))
                        .await;
                    answer.problem_saying(503, "unavailable", &[code, "credentials"]);
                    assert!(started.elapsed() < Duration::from_secs(1));
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        let asked = scene.gate.counts().since(&before);
        assert!(asked.requests() < 40, "{asked:?}");
        let log = server.log();
        assert!(
            lines_of(&log, "\"WARN\"") + lines_of(&log, "\"ERROR\"") <= 3,
            "{log}"
        );
        scene.gate.open();
        until_ready(&server.client(), Duration::from_secs(8)).await;
        server.client().store(lines("a", 20)).await;
    }
}

#[tokio::test]
async fn a_denied_start_ends_and_names_the_missing_right() {
    let scene = Scene::new().await;
    scene.gate.set(deny_transactions);
    let ended = ended(
        &scene,
        &[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")],
    );
    assert_eq!(ended.code, Some(3), "{}", ended.output);
    assert!(
        ended.output.contains("dynamodb:PutItem on the table"),
        "{}",
        ended.output
    );
    // A right on the readings table is missing. The start notices the missing right before the first reading comes.
    scene.gate.set(|asked| {
        let is_of_readings = asked.body.contains("\"test-temperature-readings\"");
        match asked.operation {
            "TransactWriteItems" if is_of_readings => {
                Reaction::refuse("AccessDeniedException", NOT_ALLOWED)
            }
            _ => Reaction::Pass,
        }
    });
    let ended = self::ended(
        &scene,
        &[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")],
    );
    assert_eq!(ended.code, Some(3), "{}", ended.output);

    scene.gate.open();
    let ended = self::ended(&scene, &[("AWS_EC2_METADATA_DISABLED", "true")]);
    assert_eq!(ended.code, Some(3), "{}", ended.output);
    assert!(ended.output.contains("no credentials"), "{}", ended.output);
}

fn ended(scene: &Scene, environment: &[(&str, &str)]) -> Exited {
    Server::try_in_environment(environment, &["--readings", &scene.url()])
        .err()
        .unwrap()
}

#[tokio::test]
async fn reads_that_are_denied_are_a_warning_and_readings_are_stored() {
    let scene = Scene::new().await;
    let server = scene.server();
    let client = server.client();
    client.store(lines("a", 10)).await;
    scene.gate.set(|asked| {
        let is_of_readings = asked.body.contains("\"test-temperature-readings\"");
        match asked.operation {
            "Query" if is_of_readings => Reaction::refuse("AccessDeniedException", ""),
            _ => Reaction::Pass,
        }
    });
    let answer = client.get("/api/sensors/a/readings").await;
    answer.problem_saying(503, "unavailable", &["dynamodb:Query"]);
    // The warning stays after the next probe.
    tokio::time::sleep(Duration::from_secs(3)).await;
    client.store(lines("a", 20)).await;
    client.get("/readyz").await.with_status(200);
    let health = client.get("/health").await.text();
    assert!(health.contains("some reads are refused"), "{health}");
    scene.gate.open();
    let started = Instant::now();
    while client.get("/health").await.text().contains("warnings") {
        assert!(
            started.elapsed() < Duration::from_secs(8),
            "still warned of"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_deleted_table_is_reported_at_once_and_found_again() {
    let scene = Scene::new().await;
    let server = scene.server();
    let client = server.client();
    client.store(lines("a", 10)).await;
    let direct = super::existing::client(&scene.dynamo);
    let table = scene.dynamo.readings_table();
    direct
        .delete_table()
        .table_name(&table)
        .send()
        .await
        .unwrap();
    for path in ["/api/stats", "/livez"] {
        client.get(path).await.with_status(200);
    }
    let started = Instant::now();
    let answer = client.put(reading("a", "2026-11-21T13:00:00Z", "5")).await;
    answer.problem_saying(503, "unavailable", &["missing"]);
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(client.get("/readyz").await.status, 503);
    DynamoStore::create_tables(&location(&scene.dynamo.url()), Some(&credentials()))
        .await
        .unwrap();
    until_ready(&client, Duration::from_secs(8)).await;
    stored(&client).await;
}

/// Serves credentials as the agent of a container does.
struct Agent {
    address: std::net::SocketAddr,
    access_key: Arc<Mutex<&'static str>>,
}

impl Agent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let access_key = Arc::new(Mutex::new("OLD"));
        let given = Arc::clone(&access_key);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 4096];
                if stream.read(&mut request).is_err() {
                    continue;
                }
                let body = format!(
                    r#"{{"AccessKeyId":"{}","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}}"#,
                    given.lock().unwrap()
                );
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Self {
            address,
            access_key,
        }
    }
}

/// The credentials claim to be valid for decades, so only the answer of DynamoDB reports the end of the credentials.
#[tokio::test]
async fn expired_credentials_are_renewed_without_a_restart() {
    let scene = Scene::new().await;
    let agent = Agent::start();
    let url = format!("http://{}/credentials", agent.address);
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let server = Server::try_in_environment(&environment, &["--readings", &scene.url()]).unwrap();
    let client = server.client();
    client.store(lines("a", 10)).await;
    scene
        .gate
        .set(|asked| match asked.head.contains("Credential=OLD/") {
            true => Reaction::refuse("ExpiredTokenException", "The security token is expired"),
            false => Reaction::Pass,
        });
    let refused = client.put(reading("a", "2026-11-21T13:00:00Z", "5")).await;
    refused.problem_saying(503, "unavailable", &["ExpiredTokenException"]);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(client.get("/readyz").await.status, 503);
    *agent.access_key.lock().unwrap() = "NEW";
    until_ready(&client, Duration::from_secs(10)).await;
    stored(&client).await;
    let log = server.log();
    assert!(
        !log.contains("\"OLD\"") && !log.contains("SecretAccessKey"),
        "{log}"
    );
}

async fn stored(client: &Client) {
    client
        .put(reading("a", "2026-11-21T13:00:00Z", "5"))
        .await
        .with_status(200);
}
