//! Power cuts at random moments under all kinds of writes, before, during and after flushes, also of a server that starts, and
//! flushes that fail: what was acknowledged is there, and the statistics equal a recount.
//!
//! `FIELDSTATION_POWER_CUTS` says how many (8 by default); `FIELDSTATION_CRASH_SEED` writes the same again as a run that
//! printed it.

use std::time::Duration;

use futures_util::future;

use super::app_database::StationWriter;
use super::audit::audit;
use super::writer::{Habit, Writer};
use crate::support::{Disk, Random, Server, Unflushed, setting};

/// Connections that write readings. [`super::keys`] has numbers for more.
const WRITERS: usize = 6;
/// Cuts on one directory, so that damage would add up, and an audit does not take ever longer.
const CUTS_IN_ONE_PLACE: u64 = 25;
/// A server that has not met its end until then is killed.
const WRITING_MAX: Duration = Duration::from_millis(300);

/// What was done, to be printed.
#[derive(Debug, Default)]
struct Tally {
    cuts: u64,
    during_flushes: u64,
    during_starts: u64,
    failed_flushes: u64,
    acknowledged: usize,
}

/// A disk, and those who write to it.
struct Scene {
    disk: Disk,
    writers: Vec<Writer>,
    station: StationWriter,
    random: Random,
}

impl Scene {
    fn new(random: &mut Random) -> Self {
        let writer = |number| Writer::new(number, Habit::Devices, random.number());
        Self {
            disk: Disk::new(),
            writers: (0..WRITERS).map(writer).collect(),
            station: StationWriter::new(random.number()),
            random: Random::new(random.number()),
        }
    }

    /// Has some flush end in something.
    fn arm(&mut self, what: &str, flushes: u64) {
        let files = ["*", "*", "*readings.db*", "*station.db*", "*files*"];
        let file = files[self.random.below(files.len() as u64) as usize];
        let nth = self.random.below(flushes);
        self.disk.fails(&format!("{what} flush {file} {nth} 1"));
    }

    fn moment(&mut self) -> &'static str {
        ["before", "half", "after"][self.random.below(3) as usize]
    }

    /// Lets everybody write until the server is gone, at a flush or at any other moment.
    async fn write(&mut self, server: &mut Server) {
        let client = server.client();
        let writing = self
            .writers
            .iter_mut()
            .map(|writer| writer.write(client.clone()));
        let writing = future::join(
            future::join_all(writing),
            self.station.write(client.clone()),
        );
        // The moment is the point: whatever the server does then is what it is cut off in.
        let time = WRITING_MAX.mul_f64(self.random.below(1001) as f64 / 1000.0);
        let reading = async {
            // A connection that reads holds the write-ahead log.
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

    /// A server that starts, whatever cuts its start off first.
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
        self.station.audit(server).await;
    }

    /// Writes, and a cut, or a flush that fails and a restart.
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
            // The next round begins with what the system has in memory.
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
        tally.acknowledged += readings + scene.station.acknowledged();
    }
    println!("{tally:?}, and nothing lost");
    assert!(tally.acknowledged > 0, "nothing was tested");
}
