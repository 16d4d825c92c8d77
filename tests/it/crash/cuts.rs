//! Power cuts at random times, under all kinds of writes, before, during and after flushes, and during starts. Also failures of
//! flushes. Every acknowledged write is stored, and the statistics equal a recount.
//!
//! `FIELDSTATION_POWER_CUTS` sets the number of cuts (8 by default). Each run prints a seed. `FIELDSTATION_CRASH_SEED` repeats the
//! writes of the run with this seed.

use std::time::Duration;

use futures_util::future;

use super::app_database::AppDatabaseWriter;
use super::audit::audit;
use super::writer::{Habit, Writer};
use crate::support::{Disk, Random, Server, Unflushed, setting};

/// The number of connections that write readings. [`super::keys`] has numbers for more.
const WRITERS: usize = 6;
/// The number of cuts on the same directory. Damage adds up, and the limit keeps the audits short.
const CUTS_IN_ONE_PLACE: u64 = 25;
/// The time limit for a writing server. Afterwards the test kills the server.
const WRITING_MAX: Duration = Duration::from_millis(300);

/// The counts to be printed.
#[derive(Debug, Default)]
struct Tally {
    cuts: u64,
    during_flushes: u64,
    during_starts: u64,
    failed_flushes: u64,
    acknowledged: usize,
}

/// A disk and the writers on the disk.
struct Scene {
    disk: Disk,
    writers: Vec<Writer>,
    app_database: AppDatabaseWriter,
    random: Random,
}

impl Scene {
    fn new(random: &mut Random) -> Self {
        let writer = |number| Writer::new(number, Habit::Devices, random.number());
        Self {
            disk: Disk::new(),
            writers: (0..WRITERS).map(writer).collect(),
            app_database: AppDatabaseWriter::new(random.number()),
            random: Random::new(random.number()),
        }
    }

    /// Makes a random flush fail, or cuts the power at a random flush.
    fn arm(&mut self, what: &str, flushes: u64) {
        let files = ["*", "*", "*readings.db*", "*station.db*", "*files*"];
        let file = files[self.random.below(files.len() as u64) as usize];
        let nth = self.random.below(flushes);
        self.disk.fails(&format!("{what} flush {file} {nth} 1"));
    }

    fn moment(&mut self) -> &'static str {
        ["before", "half", "after"][self.random.below(3) as usize]
    }

    /// Lets all clients write until the server is gone: at a flush, or at a random time.
    async fn write(&mut self, server: &mut Server) {
        let client = server.client();
        let writing = self
            .writers
            .iter_mut()
            .map(|writer| writer.write(client.clone()));
        let writing = future::join(
            future::join_all(writing),
            self.app_database.write(client.clone()),
        );
        // The time is random on purpose: the power fails during whatever the server does.
        let time = WRITING_MAX.mul_f64(self.random.below(1001) as f64 / 1000.0);
        let reading = async {
            // A reading connection keeps the write-ahead log in use.
            let _ = client
                .request("GET", "/api/sensors/sensor-0/readings")
                .send()
                .await;
            tokio::time::sleep(time).await;
            server.kill9();
        };
        future::join(writing, reading).await;
    }

    fn cut(&mut self, tally: &mut Tally) {
        let unflushed = [Unflushed::Lost, Unflushed::Either, Unflushed::Written];
        let unflushed = unflushed[self.random.below(3) as usize];
        self.disk.cut_power(unflushed, &mut self.random);
        tally.cuts += 1;
    }

    /// Starts a server. Sometimes another start comes before, with a power cut during this start.
    fn start(&mut self, tally: &mut Tally) -> Server {
        if self.random.one_in(4) {
            let moment = self.moment();
            self.arm(moment, 6);
            match Server::try_on(&self.disk, &[]) {
                Ok(server) => drop(server),
                Err(_) => {
                    tally.during_starts += 1;
                    self.cut(tally);
                }
            }
            self.disk.fails("");
        }
        Server::try_on(&self.disk, &[]).unwrap()
    }

    async fn audit(&mut self, server: &Server) {
        audit(server, &mut self.writers).await;
        self.app_database.audit(server).await;
    }

    /// Writes, then a power cut, or a failed flush and a restart.
    async fn round(&mut self, tally: &mut Tally) {
        let mut server = self.start(tally);
        self.audit(&server).await;
        let failures = self.disk.failures();
        let flush_fails = self.random.one_in(4);
        if flush_fails {
            self.arm("5", 40);
        } else if self.random.one_in(2) {
            let moment = self.moment();
            self.arm(moment, 60);
        }
        self.write(&mut server).await;
        drop(server);
        let has_met = self.disk.failures() > failures;
        if flush_fails && has_met {
            tally.failed_flushes += 1;
            self.disk.fails("");
            if self.random.one_in(2) {
                self.disk.forget_clean_pages();
            }
            // The next round begins with the content in the memory of the system.
            return;
        }
        tally.during_flushes += u64::from(has_met);
        self.cut(tally);
    }
}

#[tokio::test]
async fn everything_acknowledged_survives_every_power_cut() {
    let cuts = setting("FIELDSTATION_POWER_CUTS").unwrap_or(8);
    let mut random = super::random();
    let mut tally = Tally::default();
    while tally.cuts < cuts {
        let mut scene = Scene::new(&mut random);
        let end = cuts.min(tally.cuts + CUTS_IN_ONE_PLACE);
        while tally.cuts < end {
            scene.round(&mut tally).await;
            println!("{tally:?}");
        }
        let server = scene.start(&mut tally);
        scene.audit(&server).await;
        let data = server.data();
        drop(server);
        super::assert_sound(&data);
        let readings: usize = scene.writers.iter().map(Writer::acknowledged).sum();
        tally.acknowledged += readings + scene.app_database.acknowledged();
    }
    println!("{tally:?}, and nothing lost");
    assert!(tally.acknowledged > 0, "nothing was tested");
}
