//! A flush of the write-ahead log fails.

use super::{EIO, Readings, Record, Scene, Todos};
use crate::support::Unflushed;

/// A single flush of the write-ahead log fails while a reading connection is open.
async fn after_a_failed_flush_of_the_log_nothing_is_lost<K: Record>() {
    for (nth, unflushed, pages_are_forgotten) in [
        (0, Unflushed::Lost, false),
        (1, Unflushed::Either, false),
        (4, Unflushed::Lost, false),
        (3, Unflushed::Lost, true),
        (7, Unflushed::Written, false),
    ] {
        let mut scene = Scene::new();
        let server = scene.start();
        scene.write::<K>(&server, 5).await;
        K::read(&server.client()).await;
        let log = format!("*{}-wal", K::DATABASE);
        scene.disk.fails(&format!("{EIO} flush {log} {nth} 1"));
        let exited = scene.write_until_it_fails::<K>(server).await;
        assert_eq!(exited.code, Some(4), "{}", exited.output);
        scene.disk.fails("");
        if pages_are_forgotten {
            scene.disk.forget_clean_pages();
        }

        let server = scene.start();
        scene.write::<K>(&server, 5).await;
        K::read(&server.client()).await;
        scene.cut_power_and_audit::<K>(server, unflushed).await;
    }
}

#[tokio::test]
async fn readings_survive_a_failed_flush_a_restart_and_a_power_cut() {
    after_a_failed_flush_of_the_log_nothing_is_lost::<Readings>().await;
}

#[tokio::test]
async fn todos_survive_a_failed_flush_a_restart_and_a_power_cut() {
    after_a_failed_flush_of_the_log_nothing_is_lost::<Todos>().await;
}

/// A control: these tests find the lost writes on a disk that ignores flushes.
async fn a_disk_that_ignores_flushes_loses_what_was_acknowledged<K: Record>() {
    let mut scene = Scene::new();
    let mut server = scene.start();
    scene.disk.fails("0 flush * 0 1000000");
    scene.write::<K>(&server, 5).await;
    server.kill9();
    scene.disk.cut_power(Unflushed::Lost, &mut scene.random);
    let found = K::found(&scene.start().client()).await;
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn a_disk_that_ignores_flushes_loses_readings_and_todos() {
    a_disk_that_ignores_flushes_loses_what_was_acknowledged::<Readings>().await;
    a_disk_that_ignores_flushes_loses_what_was_acknowledged::<Todos>().await;
}
