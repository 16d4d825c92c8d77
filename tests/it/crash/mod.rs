//! `kill -9` at random times while many connections write. No acknowledged reading is lost, no reading is invented, and the
//! statistics equal a recount.
//!
//! `FIELDSTATION_CRASH_KILLS` sets the number of kills (10 by default). Each run prints a seed. `FIELDSTATION_CRASH_SEED` repeats the
//! writes of the run with this seed.

mod app_database;
mod audit;
mod cuts;
mod disk;
mod files;
mod flips;
mod flushes;
mod keys;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fieldstation::readings::embedded::VerifyReport;
use futures_util::future;
use rusqlite::Connection;

use self::audit::audit;
use self::writer::{Habit, Writer};
use crate::support::{Random, Server, setting};

/// The number of concurrent writing connections.
const WRITERS: usize = 16;
/// The longest time from the first write to the kill.
const KILL_AFTER_MAX: Duration = Duration::from_millis(400);
/// The number of kills on the same directory. This limit keeps the audits short.
const KILLS_IN_ONE_PLACE: u64 = 50;
/// The number of kills of a store with much data.
const BULK_KILLS: u64 = 3;

fn kills() -> u64 {
    setting("FIELDSTATION_CRASH_KILLS")
        .unwrap_or(10)
        .max(BULK_KILLS + 1)
}

fn random() -> Random {
    let seed = setting("FIELDSTATION_CRASH_SEED").unwrap_or_else(Random::any_seed);
    println!("FIELDSTATION_CRASH_SEED={seed}");
    Random::new(seed)
}

/// Asserts sound data on disk. No server may be running.
fn assert_sound(data: &Path) {
    let report = fieldstation::readings::embedded::verify(data, &mut |_, _| {}).unwrap();
    assert!(report.is_sound(), "{report:#?}");
    let app_database = Connection::open(data.join("station.db")).unwrap();
    let report: String = app_database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(report, "ok");
}

/// Lets all writers write until the server dies. Returns the largest number of readings seen by a client.
async fn write_and_kill(server: &mut Server, writers: &mut [Writer], random: &mut Random) -> usize {
    let kill_after = KILL_AFTER_MAX.mul_f64(random.below(1001) as f64 / 1000.0);
    // Some servers die while they stop and seal.
    let stop_first = random
        .one_in(4)
        .then(|| Duration::from_millis(random.below(60)));
    let client = server.client();
    let acknowledged: usize = writers.iter().map(Writer::acknowledged).sum();
    let writing = future::join_all(
        writers
            .iter_mut()
            .map(|writer| writer.write(client.clone())),
    );
    let killing = async {
        // The time is random on purpose: the kill interrupts whatever the server does.
        tokio::time::sleep(kill_after).await;
        if let Some(stop_first) = stop_first {
            server.sigterm();
            tokio::time::sleep(stop_first).await;
        }
        server.kill9();
    };
    let (_, (), seen) = future::join3(writing, killing, audit::watch(&client)).await;
    let now: usize = writers.iter().map(Writer::acknowledged).sum();
    println!(
        "killed after {kill_after:?}, stopping for {stop_first:?}: {} requests acknowledged, {seen} readings seen",
        now - acknowledged
    );
    seen
}

/// Kills a server repeatedly on the same directory, so damage would add up. Returns the verification after the last kill.
async fn kill_again_and_again(
    mut server: Server,
    writers: &mut [Writer],
    kills: u64,
    random: &mut Random,
) -> VerifyReport {
    for kill in 1..=kills {
        let seen = write_and_kill(&mut server, writers, random).await;
        server = server.restart();
        let readings = audit(&server, writers).await;
        assert!(
            readings >= seen,
            "{seen} readings were seen, of which only {readings} were durable"
        );
        println!("kill {kill} of {kills}: {readings} readings, all as they should be");
    }
    let acknowledged: usize = writers.iter().map(Writer::acknowledged).sum();
    assert!(
        acknowledged > 0,
        "nothing was ever acknowledged, so nothing was tested"
    );
    let directory = Arc::clone(server.directory());
    let data = server.data();
    server.kill9();
    let left = audit::verify(&data, writers);
    // A last audit after an orderly stop, with all readings sealed.
    let server = Server::try_in(&directory, &[]).unwrap();
    audit(&server, writers).await;
    assert_eq!(server.stop().code, Some(0));
    audit::verify(&data, writers);
    left
}

#[tokio::test]
async fn every_acknowledged_reading_survives_every_kill() {
    let mut random = random();
    let mut kills = kills() - BULK_KILLS;
    while kills > 0 {
        let mut writers: Vec<_> = (0..WRITERS)
            .map(|number| Writer::new(number, Habit::Devices, random.number()))
            .collect();
        let here = kills.min(KILLS_IN_ONE_PLACE);
        kill_again_and_again(Server::start(), &mut writers, here, &mut random).await;
        kills -= here;
    }
}

#[tokio::test]
async fn kills_while_much_is_sealed_lose_nothing() {
    let mut random = random();
    let mut writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let habit = if number < 3 {
                Habit::Bulk
            } else {
                Habit::Devices
            };
            Writer::new(number, habit, random.number())
        })
        .collect();
    let server = Server::start();
    let client = server.client();
    // More readings than the capacity of the tails, so sealing goes on from here, and after every restart.
    let filling = writers
        .iter_mut()
        .take(3)
        .map(|writer| writer.fill(client.clone(), 350_000));
    future::join_all(filling).await;
    let left = kill_again_and_again(server, &mut writers, BULK_KILLS, &mut random).await;
    assert!(left.chunks > 0, "nothing was being sealed: {left:?}");
}
