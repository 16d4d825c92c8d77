//! `fieldstation migrate` for the greeting: from the key of an older page, and between stores of this program in both directions.
#![cfg(feature = "cloud")]

use std::path::Path;
use std::sync::Arc;

use crate::support::{Answer, Exited, RedisServer, Server, run};

fn migrate(directory: &Path, from: &str, to: &str) -> Exited {
    let arguments = ["migrate", "--from", from, "--to", to, "--data", "data"];
    run(directory, &arguments)
}

#[track_caller]
fn says(exited: &Exited, code: i32, words: &[&str]) {
    assert_eq!(exited.code, Some(code), "{}", exited.output);
    for word in words {
        assert!(
            exited.output.contains(word),
            "no {word:?} in {}",
            exited.output
        );
    }
}

async fn word(server: &Server) -> String {
    server.client().get("/hello").await.with_status(200).text()
}

#[tokio::test]
async fn the_word_of_an_older_page_is_copied_unchanged() {
    let redis = RedisServer::start();
    let directory = Arc::new(tempfile::tempdir().unwrap());
    redis.command(&["-n", "1", "SET", "hello", "Grüße, tera-webapp"]);
    let older = format!("{}/1", redis.url());
    // Into the same database under the key of this program: the same URL.
    says(
        &migrate(directory.path(), &older, &older),
        0,
        &["an older page's", "Grüße, tera-webapp"],
    );
    let server = Server::with_args(&["--greeting", &older]);
    assert_eq!(word(&server).await, "Grüße, tera-webapp");
    // The key of the older page is unchanged.
    assert_eq!(
        redis.command(&["-n", "1", "GET", "hello"]),
        "Grüße, tera-webapp"
    );

    redis.command(&[
        "-n",
        "1",
        "EVAL",
        "return redis.call('SET', 'hello', 'Ann\\n')",
        "0",
    ]);
    std::fs::create_dir(directory.path().join("data")).unwrap();
    says(
        &migrate(directory.path(), &older, "sqlite:"),
        0,
        &["line end", "both sides: Ann"],
    );
    let server = Server::try_in(&directory, &[]).unwrap();
    assert_eq!(word(&server).await, "Ann");
}

#[tokio::test]
async fn an_invalid_word_is_named_and_changes_nothing() {
    let redis = RedisServer::start();
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let url = redis.url();
    let server = Server::with_args(&["--greeting", &format!("{url}?prefix=new:")]);
    let set = server.client().request("POST", "/hello").body("before");
    Answer::to(set).await.with_status(200);
    let to = format!("{url}?prefix=new:");
    says(
        &migrate(directory.path(), &url, &to),
        1,
        &["no word", "database"],
    );
    let long = "ä".repeat(201);
    for (value, words) in [
        (long.as_str(), "201 characters"),
        ("a\nb", "several lines"),
        ("tab\there", "U+0009"),
        ("  ", "nothing in it"),
    ] {
        redis.command(&["SET", "hello", value]);
        says(
            &migrate(directory.path(), &url, &to),
            1,
            &[words, "redis-cli SET hello", "POST /hello"],
        );
        assert_eq!(word(&server).await, "before");
    }
    redis.command(&["DEL", "hello"]);
    redis.command(&["HSET", "hello", "a", "b"]);
    says(&migrate(directory.path(), &url, &to), 1, &["holds a hash"]);
    assert_eq!(word(&server).await, "before");
}

#[tokio::test]
async fn a_word_of_this_program_is_copied_in_both_directions() {
    let redis = RedisServer::start();
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let server = Server::try_in(&directory, &[]).unwrap();
    let set = server.client().request("POST", "/hello").body(" Bea ");
    Answer::to(set).await.with_status(200);
    assert_eq!(server.stop().code, Some(0));
    says(
        &migrate(directory.path(), "sqlite:", &redis.url()),
        0,
        &["both sides:  Bea "],
    );
    let server = Server::with_args(&["--greeting", &redis.url()]);
    assert_eq!(word(&server).await, " Bea ");
    let other = format!("{}?prefix=other:", redis.url());
    says(
        &migrate(directory.path(), &redis.url(), &other),
        0,
        &[" Bea "],
    );
    says(
        &migrate(directory.path(), &redis.url(), &redis.url()),
        2,
        &["are the same"],
    );
    let back = Arc::new(tempfile::tempdir().unwrap());
    says(&migrate(back.path(), &other, "sqlite:"), 0, &[" Bea "]);
    let server = Server::try_in(&back, &[]).unwrap();
    assert_eq!(word(&server).await, " Bea ");
    let nowhere = migrate(back.path(), "redis://127.0.0.1:1", &redis.url());
    says(&nowhere, 1, &["Redis cannot be reached"]);
}
