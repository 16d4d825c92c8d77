//! The power fails while a start or `verify` repairs the damage of a failed flush.

use super::{EIO, Readings, Record, Scene, Todos};
use crate::support::{Server, Unflushed, run_on};

/// The power fails while a start or `verify` repairs the damage of a failed flush.
async fn a_power_cut_while_a_failed_flush_is_made_good_loses_nothing<K: Record>(by: Opener) {
    let log = format!("*{}-wal", K::DATABASE);
    let database = format!("*{}", K::DATABASE);
    for (moment, file, nth_failed) in [
        ("before", &log, 0),
        ("half", &log, 2),
        ("after", &log, 0),
        ("before", &database, 2),
        ("half", &database, 0),
        ("half", &database, 1),
        ("after", &database, 0),
    ] {
        let mut scene = Scene::new();
        let server = scene.start();
        scene.write::<K>(&server, 5).await;
        // The log holds only the failing commit, so no other commit repairs a torn page.
        assert_eq!(server.stop().code, Some(0));
        let server = scene.start();
        K::read(&server.client()).await;
        scene
            .disk
            .fails(&format!("{EIO} flush {log} {nth_failed} 1"));
        scene.write_until_it_fails::<K>(server).await;
        for (nth, unflushed) in [
            (0, Unflushed::Either),
            (0, Unflushed::Lost),
            (1, Unflushed::Either),
        ] {
            scene.disk.fails(&format!("{moment} flush {file} {nth} 1"));
            let started = match by {
                Opener::Start => Server::try_on(&scene.disk, &[]).ok(),
                Opener::Verify => {
                    run_on(&scene.disk, &["verify", "--data", "data"]);
                    None
                }
            };
            let server = started.unwrap_or_else(|| {
                scene.disk.cut_power(unflushed, &mut scene.random);
                scene.start()
            });
            scene.cut_power_and_audit::<K>(server, unflushed).await;
        }
    }
}

/// The command to open the databases after a failed flush.
#[derive(Clone, Copy)]
enum Opener {
    Start,
    Verify,
}

#[tokio::test]
async fn readings_survive_a_power_cut_during_the_start_after_a_failed_flush() {
    a_power_cut_while_a_failed_flush_is_made_good_loses_nothing::<Readings>(Opener::Start).await;
}

#[tokio::test]
async fn todos_survive_a_power_cut_during_the_start_after_a_failed_flush() {
    a_power_cut_while_a_failed_flush_is_made_good_loses_nothing::<Todos>(Opener::Start).await;
}

#[tokio::test]
async fn readings_survive_a_power_cut_during_verify_after_a_failed_flush() {
    a_power_cut_while_a_failed_flush_is_made_good_loses_nothing::<Readings>(Opener::Verify).await;
}

#[tokio::test]
async fn todos_survive_a_power_cut_during_verify_after_a_failed_flush() {
    a_power_cut_while_a_failed_flush_is_made_good_loses_nothing::<Todos>(Opener::Verify).await;
}
