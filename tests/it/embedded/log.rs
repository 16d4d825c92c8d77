//! The log lines about damage: the log names sensors by number, because ids may be personal.

use std::sync::Arc;

use rusqlite::Connection;

use crate::support::{Server, reading};

/// Readings of a sensor, a second apart.
fn lines(sensor: &str, seconds: std::ops::Range<u32>) -> String {
    let line = |second: u32| {
        let time = format!("2026-11-20T00:{:02}:{:02}Z", second / 60, second % 60);
        reading(sensor, &time, "1") + "\n"
    };
    seconds.map(line).collect()
}

#[tokio::test]
async fn a_sensor_that_cannot_be_sealed_is_logged_by_its_number_and_not_by_its_id() {
    let server = Server::start();
    let directory = Arc::clone(server.directory());
    server.client().store(lines("bedroom", 0..100)).await;
    let data = server.data();
    assert_eq!(server.stop().code, Some(0));
    let database = Connection::open(data.join("readings.db")).unwrap();
    let damaged = database
        .execute("UPDATE chunk_data SET data = zeroblob(20)", [])
        .unwrap();
    assert!(damaged > 0, "nothing was sealed");
    drop(database);

    // The next readings would join the damaged chunk.
    let server = Server::try_in(&directory, &[]).unwrap();
    server.client().store(lines("bedroom", 200..500)).await;
    let log = server.stop().output;
    assert!(log.contains("a sensor's readings stay in the log"), "{log}");
    assert!(log.contains("\"sensor\":0"), "{log}");
    assert!(!log.contains("bedroom"), "{log}");
}
