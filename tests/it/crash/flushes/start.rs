//! A flush fails during a start, or before a start.

use super::{EIO, Readings, Record, Scene, Todos, reader_of};
use crate::support::{Server, Unflushed};

#[tokio::test]
async fn a_start_whose_flush_fails_says_so_and_the_next_one_loses_nothing() {
    for file in ["*readings.db-wal", "*readings.db", "*station.db"] {
        let mut scene = Scene::new();
        let mut server = scene.start();
        scene.write::<Readings>(&server, 5).await;
        scene.write::<Todos>(&server, 5).await;
        server.kill9();
        scene.disk.fails(&format!("{EIO} flush {file} 0 1"));
        let exited = Server::try_on(&scene.disk, &[]).unwrap_err();
        assert_eq!(exited.code, Some(3), "{}", exited.output);
        assert!(
            exited.output.contains("write-ahead log"),
            "{}",
            exited.output
        );
        scene.disk.fails("");
        let server = scene.start();
        scene.write::<Readings>(&server, 5).await;
        let todos = Todos::found(&server.client()).await;
        assert!(
            scene
                .acknowledged
                .iter()
                .filter(|id| id.starts_with("todo"))
                .all(|id| todos.contains(id))
        );
        scene.acknowledged.retain(|id| id.starts_with('{'));
        scene
            .cut_power_and_audit::<Readings>(server, Unflushed::Lost)
            .await;
    }
}

#[tokio::test]
async fn a_start_while_a_reader_holds_a_snapshot_checkpoints_later_and_loses_nothing() {
    let mut scene = Scene::new();
    let server = scene.start();
    scene.write::<Readings>(&server, 5).await;
    // A backup also holds a snapshot, and continues after the end of the server.
    let reader = reader_of(&server, Readings::DATABASE);
    scene.write::<Readings>(&server, 5).await;
    let rule = format!("{EIO} flush *{}-wal 0 1", Readings::DATABASE);
    scene.disk.fails(&rule);
    scene.write_until_it_fails::<Readings>(server).await;
    scene.disk.fails("");
    let server = scene.start();
    server.logs("a later checkpoint empties").await;
    scene.write::<Readings>(&server, 5).await;
    drop(reader);
    scene
        .cut_power_and_audit::<Readings>(server, Unflushed::Lost)
        .await;
}

#[tokio::test]
async fn a_first_start_whose_flush_failed_is_made_good_by_the_second() {
    for (file, nth) in [
        ("*readings.db", 0),
        ("*readings.db", 1),
        ("*readings.db-journal", 0),
        ("*readings.db-wal", 0),
        ("*station.db", 0),
        ("*station.db-wal", 0),
    ] {
        let mut scene = Scene::new();
        scene.disk.fails(&format!("{EIO} flush {file} {nth} 1"));
        // The server may start: some flushes concern no acknowledged data.
        drop(Server::try_on(&scene.disk, &[]));
        scene.disk.fails("");
        let server = scene.start();
        scene.write::<Readings>(&server, 5).await;
        scene
            .cut_power_and_audit::<Readings>(server, Unflushed::Lost)
            .await;
    }
}
