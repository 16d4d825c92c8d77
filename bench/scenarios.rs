//! The scenarios. Each scenario has a function.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use fieldstation::readings::Stats;

use crate::control::Control;
use crate::disk::{self, Syncs};
use crate::fleet::{Fleet, ReadingsRequest};
use crate::load::{self, Work, Worker};
use crate::report::{Latencies, Report, Rounds, median};
use crate::rounds::{acknowledged, measure, recorders};
use crate::server::Server;
use crate::{Options, Scenario};

const MEBIBYTE: f64 = (1 << 20) as f64;
const WARM_UP: Duration = Duration::from_millis(300);
/// The number of timed starts.
const STARTS: usize = 5;
/// An idle server finishes the background work in this time.
const IDLE: Duration = Duration::from_secs(2);
pub(crate) const BATCH_ROWS: usize = 10_000;
const BATCH_CONNECTIONS: usize = 4;

/// A run: the options, a directory on the measured disk, and the results so far.
pub(crate) struct Run {
    pub(crate) options: Options,
    pub(crate) directory: PathBuf,
    pub(crate) report: Report,
}

impl Run {
    pub(crate) async fn scenario(&mut self, scenario: Scenario) -> Result<()> {
        match scenario {
            Scenario::Put64 => self.put_64().await,
            Scenario::Put1 => self.put_1().await,
            Scenario::Batch1k => self.batches("batch-1k", 1_000).await,
            Scenario::Batch100k => self.batches("batch-100k", 100_000).await,
            Scenario::Steady => self.steady().await,
            Scenario::Late => self.late().await,
            Scenario::Read => self.read().await,
            Scenario::Windows => self.windows().await,
            Scenario::Files => self.files().await,
            Scenario::Greeting => self.greeting().await,
            Scenario::Start => self.start(),
            Scenario::Restart => self.restart().await,
            Scenario::Todos => self.todos().await,
            #[cfg(feature = "cloud")]
            Scenario::Dynamodb => self.dynamodb().await,
        }
    }

    pub(crate) fn round(&self) -> Duration {
        Duration::from_secs_f64(self.options.seconds)
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    async fn put_64(&mut self) -> Result<()> {
        let name = "put-64";
        self.report.heading(
            name,
            "PUT /api/temperature, durable, 64 connections, 1,000 sensors",
        );
        let data = self.data(name);
        let product = Server::product(&data)?;
        let mut workers = recorders(1_000, 64, 1)?;
        let floor = Server::floor()?;
        let mut floor_workers = workers.clone();
        let (rounds, floor_rounds) = self
            .alternate(&product, &mut workers, &floor, &mut floor_workers)
            .await?;
        self.report
            .rounds(name, "requests", &rounds, Some(&floor_rounds));
        self.finish_recording(name, product, &data, &workers)
    }

    async fn put_1(&mut self) -> Result<()> {
        let name = "put-1";
        self.report.heading(
            name,
            "PUT /api/temperature, durable, one connection, one at a time",
        );
        let data = self.data(name);
        let product = Server::product(&data)?;
        let mut workers = recorders(1_000, 1, 1)?;
        let floor = Server::floor()?;
        let mut floor_workers = workers.clone();
        let (mut rounds, mut floor_rounds) = (Rounds::default(), Rounds::default());
        let (mut preallocated, mut appending) = (Vec::new(), Vec::new());
        let syncs = self.round().div_f64(3.0);
        for _ in 0..self.options.rounds {
            preallocated.push(disk::measure_syncs(
                &self.directory,
                Syncs::Preallocated,
                syncs,
            )?);
            rounds.push(measure(&product, &mut workers, self.round()).await?);
            appending.push(disk::measure_syncs(
                &self.directory,
                Syncs::Appending,
                syncs,
            )?);
            floor_rounds.push(measure(&floor, &mut floor_workers, self.round()).await?);
        }
        self.report
            .rounds(name, "requests", &rounds, Some(&floor_rounds));
        let best = self.syncs(name, "fdatasync, 4 KiB, preallocated", &preallocated);
        let append = self.syncs(name, "fdatasync, 4 KiB, appending", &appending);
        for (what, rate) in [("preallocated", best), ("appending", append)] {
            self.report.value(
                name,
                &format!("durable PUTs to fdatasyncs, {what}"),
                rounds.items_per_second() / rate * 100.0,
                "%",
            );
        }
        self.finish_recording(name, product, &data, &workers)
    }

    /// Reports rounds of flushes, and returns their rate per second.
    fn syncs(&mut self, scenario: &str, what: &str, rounds: &[Latencies]) -> f64 {
        let rate = median(rounds.iter().map(Latencies::rate));
        self.report.value(scenario, what, rate, "/s");
        let quantiles: Vec<_> = rounds
            .iter()
            .map(|round| round.clone().quantiles_ms([0.5, 0.99]))
            .collect();
        for (index, name) in ["p50", "p99"].into_iter().enumerate() {
            let middle = median(quantiles.iter().map(|round| round[index]));
            self.report
                .value(scenario, &format!("{what}, {name}"), middle, "ms");
        }
        rate
    }

    async fn batches(&mut self, name: &str, sensors: usize) -> Result<()> {
        self.report.heading(
            name,
            &format!("POST /api/readings, NDJSON, {BATCH_ROWS} readings each, 4 connections, {sensors} sensors at 1 Hz"),
        );
        let data = self.data(name);
        let product = Server::product(&data)?;
        let mut workers = recorders(sensors, BATCH_CONNECTIONS, BATCH_ROWS)?;
        let floor = Server::floor()?;
        let mut floor_workers = workers.clone();
        let (rounds, floor_rounds) = self
            .alternate(&product, &mut workers, &floor, &mut floor_workers)
            .await?;
        self.report
            .rounds(name, "readings", &rounds, Some(&floor_rounds));
        self.finish_recording(name, product, &data, &workers)
    }

    /// The latency for single devices while others send a lot, well below the capacity of the server.
    async fn steady(&mut self) -> Result<()> {
        let name = "steady";
        self.report.heading(
            name,
            "500 PUT/s over 16 connections, beside 100,000 readings/s in batches of 10,000",
        );
        let data = self.data(name);
        let product = Server::product(&data)?;
        let mut workers = recorders(1_000, 16, 1)?;
        for worker in &mut workers {
            worker.pace = Some(Duration::from_millis(32));
        }
        let fleet = Fleet::new(1_000, 1_000)?;
        let batches = ReadingsRequest::batch(fleet, BATCH_ROWS)?;
        let mut background = Worker::unpaced(Work::Record(batches));
        background.pace = Some(Duration::from_millis(100));
        background.measured = false;
        workers.push(background);

        let floor = Server::floor()?;
        let mut floor_workers = workers.clone();
        let before = disk::measure_syncs(&self.directory, Syncs::Appending, self.round())?;
        let (rounds, floor_rounds) = self
            .alternate(&product, &mut workers, &floor, &mut floor_workers)
            .await?;
        let after = disk::measure_syncs(&self.directory, Syncs::Appending, self.round())?;
        self.report
            .rounds(name, "PUTs", &rounds, Some(&floor_rounds));
        let mut syncs = before;
        syncs.extend(after);
        let [p50, p99] = syncs.quantiles_ms([0.5, 0.99]);
        let to_syncs = rounds.p99_ms() / p99;
        for (what, value, unit) in [
            ("fdatasync, 4 KiB, appending, p50", p50, "ms"),
            ("fdatasync, 4 KiB, appending, p99", p99, "ms"),
            ("p99 of a PUT to the p99 of fdatasync", to_syncs, "×"),
        ] {
            self.report.value(name, what, value, unit);
        }
        self.finish_recording(name, product, &data, &workers)
    }

    /// Reads with `--fill` stored readings.
    async fn read(&mut self) -> Result<()> {
        let name = "read";
        let fill = self.options.fill;
        self.report.heading(
            name,
            &format!("GET /api/stats, 64 connections, with {fill} readings stored"),
        );
        let data = self.data(name);
        let product = Server::product(&data)?;
        let mut stored = self.fill(&product, 1_000, 1_000, fill).await?;

        let mut workers = vec![Worker::unpaced(Work::get("/api/stats")); 64];
        let floor = Server::floor()?;
        let mut floor_workers = workers.clone();
        let (rounds, floor_rounds) = self
            .alternate(&product, &mut workers, &floor, &mut floor_workers)
            .await?;
        self.report
            .rounds("stats", "requests", &rounds, Some(&floor_rounds));

        // A day of a sensor, in batches with as many readings as a day allows. The other scenarios do not use this sensor.
        stored.merge(&self.fill(&product, 0, 1, 86_400).await?);
        self.report.heading(
            "series",
            "GET …/series, a day of one sensor at 1 Hz in 500 points, one connection",
        );
        let path = "/api/sensors/sensor-000000/series?points=500";
        let mut workers = vec![Worker::unpaced(Work::get(path))];
        let mut series = Rounds::default();
        for _ in 0..self.options.rounds {
            series.push(measure(&product, &mut workers, self.round()).await?);
        }
        self.report.rounds("series", "requests", &series, None);

        self.finish(name, product, &data, &stored)?;
        self.starts(name, "with these readings", |_| data.clone())
    }

    /// Records `count` readings of the sensors from `first` on, and returns their totals.
    pub(crate) async fn fill(
        &self,
        server: &Server,
        first: usize,
        sensors: usize,
        count: u64,
    ) -> Result<Stats> {
        let fleet = Fleet::new(first, sensors)?;
        self.fill_from(server, fleet, count).await
    }

    /// Records the next `count` readings of a fleet, or a few more, and returns their totals.
    pub(crate) async fn fill_from(
        &self,
        server: &Server,
        fleet: Fleet,
        count: u64,
    ) -> Result<Stats> {
        let rows = usize::try_from(count.min(BATCH_ROWS as u64))?;
        let mut worker = Worker::unpaced(Work::Record(ReadingsRequest::batch(fleet, rows)?));
        worker.requests_max = Some(count.div_ceil(rows as u64));
        let mut workers = vec![worker];
        load::run(server.address, &mut workers, Duration::from_secs(3600)).await?;
        Ok(acknowledged(&workers))
    }

    fn start(&mut self) -> Result<()> {
        self.report
            .heading("start", "a new server in an empty folder");
        let directory = self.directory.clone();
        self.starts("start", "empty", |round| {
            directory.join(format!("start-{round}"))
        })
    }

    fn starts(&mut self, name: &str, what: &str, data: impl Fn(usize) -> PathBuf) -> Result<()> {
        let mut times = Vec::new();
        for round in 0..STARTS {
            let server = Server::product(&data(round))?;
            times.push(server.started_in.as_secs_f64() * 1e3);
            if round + 1 == STARTS {
                std::thread::sleep(IDLE);
                let (_, now) = server.resident_bytes()?;
                self.report.value(
                    name,
                    &format!("resident memory, idle, {what}"),
                    now as f64 / MEBIBYTE,
                    "MiB",
                );
            }
            server.stop()?;
        }
        let what = format!("from start to the first answer, {what}");
        self.report.value(name, &what, median(times), "ms");
        Ok(())
    }

    /// Runs rounds on the product and on the floor in turn, so other load on the machine affects both.
    pub(crate) async fn alternate(
        &self,
        product: &Server,
        workers: &mut Vec<Worker>,
        floor: &Server,
        floor_workers: &mut Vec<Worker>,
    ) -> Result<(Rounds, Rounds)> {
        load::run(product.address, workers, WARM_UP).await?;
        load::run(floor.address, floor_workers, WARM_UP).await?;
        let (mut rounds, mut floor_rounds) = (Rounds::default(), Rounds::default());
        for _ in 0..self.options.rounds {
            rounds.push(measure(product, workers, self.round()).await?);
            floor_rounds.push(measure(floor, floor_workers, self.round()).await?);
        }
        Ok((rounds, floor_rounds))
    }

    /// Fails unless the server holds exactly the acknowledged readings. Then stops the server and returns the total CPU time of the server.
    pub(crate) fn finish(
        &mut self,
        name: &str,
        server: Server,
        data: &Path,
        stored: &Stats,
    ) -> Result<Duration> {
        Control::new(server.address).verify(stored)?;
        let (peak, _) = server.resident_bytes()?;
        let readings = stored.count() as f64;
        let begin = Instant::now();
        let used = server.stop()?;
        let stopped_in = begin.elapsed();
        for (what, value, unit) in [
            ("readings acknowledged, and found again", readings, ""),
            ("resident memory, most", peak as f64 / MEBIBYTE, "MiB"),
            ("time to stop", stopped_in.as_secs_f64() * 1e3, "ms"),
            (
                "on disk after the stop, everything, a reading",
                disk::used_bytes(data)? as f64 / readings,
                "bytes",
            ),
        ] {
            self.report.value(name, what, value, unit);
        }
        Ok(used.cpu)
    }

    /// Calls [`Run::finish`] for a server with recorded readings only.
    fn finish_recording(
        &mut self,
        name: &str,
        server: Server,
        data: &Path,
        workers: &[Worker],
    ) -> Result<()> {
        let stored = acknowledged(workers);
        let cpu = self.finish(name, server, data, &stored)?;
        self.report.value(
            name,
            "server CPU a reading, all told from start to end",
            cpu.as_secs_f64() * 1e6 / stored.count() as f64,
            "µs",
        );
        Ok(())
    }
}
