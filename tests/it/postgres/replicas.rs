//! Several servers on the same database.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::json;

use super::{add, change, titles};
use crate::support::{Client, Database, Server};

#[tokio::test]
async fn four_servers_may_start_at_once_on_an_empty_database() {
    let database = Database::new();
    let url = database.url();
    let starting: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            tokio::task::spawn_blocking(move || Server::with_args(&["--todos", &url]))
        })
        .collect();
    let servers: Vec<Server> = join_all(starting)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    for (number, server) in servers.iter().enumerate() {
        add(&server.client(), &number.to_string())
            .await
            .with_status(201);
    }
    for server in &servers {
        assert_eq!(titles(&server.client()).await, ["0", "1", "2", "3"]);
    }
    let changes = "SELECT version, success FROM fieldstation_migrations ORDER BY version";
    assert_eq!(database.sql(changes).trim(), "1|t\n2|t");
    // A newer version may have changed the tables. Changes only ever add.
    database.sql(
        "INSERT INTO fieldstation_migrations SELECT 9999, 'of the future', now(), true, '', 0",
    );
    let server = Server::with_args(&["--todos", &url]);
    assert_eq!(titles(&server.client()).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_on_two_servers_lose_no_change() {
    let database = Database::new();
    let url = database.url();
    let servers = [(); 2].map(|()| Server::with_args(&["--todos", &url]));
    let made = add(&servers[0].client(), "shared").await.with_status(201);
    let path: Arc<str> = made.header("location").unwrap().into();
    // Each editor increments the number from the last read. No editor may overwrite an unread number.
    let editors = (0..8).map(|editor| {
        let client = servers[editor % 2].client();
        let path = Arc::clone(&path);
        tokio::spawn(async move {
            for _ in 0..10 {
                count_up(&client, &path).await;
                add(&client, &format!("by {editor}")).await.with_status(201);
            }
        })
    });
    for editor in join_all(editors).await {
        editor.unwrap();
    }
    for server in &servers {
        let client = server.client();
        assert_eq!(client.get(&path).await.json()["description"], "80");
        assert_eq!(titles(&client).await.len(), 81);
    }
    assert!(database.connections() <= 20);
}

async fn count_up(client: &Client, path: &str) {
    for _ in 0..1000 {
        let seen = client.get(path).await.with_status(200);
        let count: u32 = seen.json()["description"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap_or(0);
        let next = json!({"description":(count + 1).to_string()});
        let answer = change(client, path, seen.header("etag"), next).await;
        match answer.status {
            200 => return,
            _ => {
                answer.problem(412, "precondition-failed");
            }
        }
    }
    panic!("other editors are always faster");
}

#[tokio::test]
async fn a_server_reads_what_another_server_has_acknowledged() {
    let database = Database::new();
    let url = database.url();
    let servers = [(); 2].map(|()| Server::with_args(&["--todos", &url]));
    let (one, other) = (servers[0].client(), servers[1].client());
    for number in 0..20 {
        let made = add(&one, &format!("{number:02}")).await.with_status(201);
        let path = made.header("location").unwrap();
        let read = other.get(path).await.with_status(200);
        assert_eq!(
            (read.json(), read.header("etag")),
            (made.json(), made.header("etag"))
        );
    }
    assert_eq!(titles(&other).await.len(), 20);
}
