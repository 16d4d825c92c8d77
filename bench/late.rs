//! History arrives while the fleet is live: the cost of a reading in several orders, and the latency for single devices.

use std::time::Duration;

use anyhow::Result;
use fieldstation::readings::Stats;

use crate::fleet::{Fleet, ReadingsRequest};
use crate::load::{Work, Worker};
use crate::rounds::{acknowledged, measure};
use crate::scenarios::{BATCH_ROWS, Run};
use crate::server::Server;

const SENSORS: usize = 1_000;
/// Each order is measured in this number of parts of `--fill` readings, so a growing cost shows.
const PARTS: usize = 3;
/// The number of days in each part, in the order with the newest day first.
const DAYS_A_PART: usize = 4;
/// The current time of the fleet, in seconds after the start of history.
const NOW: i64 = 100_000_000;
/// The number of clients with batches of scattered old readings.
const SCATTERING_CLIENTS: usize = 4;
/// The number of devices that send single readings at the same time: 200 readings a second in total.
const DEVICES: usize = 16;
const DEVICE_PACE: Duration = Duration::from_millis(80);
const NO_LIMIT: Duration = Duration::from_secs(3600);

/// The order of the history.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// In order, before any newer reading exists: the floor.
    First,
    OldestFirst,
    NewestDayFirst,
}

impl Order {
    fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::OldestFirst => "late, in order",
            Self::NewestDayFirst => "late, newest day first",
        }
    }
}

impl Run {
    pub(crate) async fn late(&mut self) -> Result<()> {
        let name = "late";
        self.report.heading(
            name,
            &format!("history of {SENSORS} sensors beside one newer reading of each, batches of {}, one connection", self.batch_rows()),
        );
        for order in [Order::First, Order::OldestFirst, Order::NewestDayFirst] {
            self.history(order).await?;
        }
        self.scattered().await
    }

    /// Sends history in an order. History in order is sent a second time afterwards.
    async fn history(&mut self, order: Order) -> Result<()> {
        let name = format!("late-{}", order as u8);
        let data = self.data(&name);
        let server = Server::product(&data)?;
        let mut stored = Stats::EMPTY;
        if order != Order::First {
            stored.merge(&self.newer_readings(&server).await?);
        }
        let rows = self.batch_rows();
        let fleet = Fleet::new(0, SENSORS)?;
        let mut workers = vec![Worker::unpaced(Work::Record(ReadingsRequest::batch(
            fleet.clone(),
            rows,
        )?))];
        let part_seconds = self.part_seconds();
        for part in 0..PARTS {
            let mut cpu = 0.0;
            let days = if order == Order::NewestDayFirst {
                DAYS_A_PART
            } else {
                1
            };
            for day in 0..days {
                let day_seconds = part_seconds / days;
                if let Work::Record(request) = &mut workers[0].work
                    && order == Order::NewestDayFirst
                {
                    let days_before = (PARTS - part) * DAYS_A_PART - day - 1;
                    request
                        .fleet()
                        .start_at((days_before * day_seconds) as i64)?;
                }
                cpu += self.send(&server, &mut workers, day_seconds).await? / days as f64;
            }
            self.report_cpu(order.name(), part, cpu);
        }
        stored.merge(&acknowledged(&workers));
        if order == Order::OldestFirst {
            if let Work::Record(request) = &mut workers[0].work {
                request.set_fleet(fleet);
                request.send_again();
            }
            for part in 0..PARTS {
                let cpu = self.send(&server, &mut workers, part_seconds).await?;
                self.report_cpu("sent again", part, cpu);
            }
        }
        self.finish("late", server, &data, &stored)?;
        Ok(())
    }

    /// Single readings of devices, beside batches of old readings scattered over the past.
    async fn scattered(&mut self) -> Result<()> {
        let data = self.data("late-scattered");
        let server = Server::product(&data)?;
        // The history holds readings of every other second. The late readings fill the seconds between.
        let fleet = Fleet::new(0, SENSORS)?.every(2);
        let history = ReadingsRequest::batch(fleet.clone(), self.batch_rows())?;
        let mut workers = vec![Worker::unpaced(Work::Record(history))];
        let seconds = self.part_seconds();
        self.send(&server, &mut workers, PARTS * seconds).await?;
        let mut stored = acknowledged(&workers);
        stored.merge(&self.newer_readings(&server).await?);

        let mut workers = Vec::new();
        let sensors = SENSORS / DEVICES;
        for device in 0..DEVICES {
            let mut fleet = Fleet::new(device * sensors, sensors)?;
            fleet.start_at(NOW + 1)?;
            let mut device = Worker::unpaced(Work::Record(ReadingsRequest::put(fleet)?));
            device.pace = Some(DEVICE_PACE);
            workers.push(device);
        }
        for client in 0..SCATTERING_CLIENTS {
            let fleet = fleet
                .clone()
                .scattered(PARTS * seconds, client, SCATTERING_CLIENTS);
            let batches = ReadingsRequest::batch(fleet, self.batch_rows())?;
            let mut worker = Worker::unpaced(Work::Record(batches));
            worker.measured = false;
            // A reading is new only once.
            let readings = PARTS * seconds * SENSORS / SCATTERING_CLIENTS;
            worker.requests_max = Some((readings / self.batch_rows()) as u64);
            workers.push(worker);
        }
        let beside = measure(&server, &mut workers, self.round()).await?;
        stored.merge(&acknowledged(&workers));
        for (what, milliseconds) in [
            ("p50", beside.p50_ms),
            ("p99", beside.p99_ms),
            ("max", beside.max_ms),
        ] {
            let what = format!(
                "PUT beside {SCATTERING_CLIENTS} clients with single old readings in batches, {what}"
            );
            self.report.value("late", &what, milliseconds, "ms");
        }
        self.finish("late", server, &data, &stored)?;
        Ok(())
    }

    /// Sends a reading per sensor, newer than all of history.
    async fn newer_readings(&self, server: &Server) -> Result<Stats> {
        let mut fleet = Fleet::new(0, SENSORS)?;
        fleet.start_at(NOW)?;
        let request = ReadingsRequest::batch(fleet, SENSORS)?;
        let mut workers = vec![Worker::unpaced(Work::Record(request))];
        workers[0].requests_max = Some(1);
        measure(server, &mut workers, NO_LIMIT).await?;
        Ok(acknowledged(&workers))
    }

    /// Sends this number of seconds, and returns the CPU time of the server per reading in microseconds.
    async fn send(
        &self,
        server: &Server,
        workers: &mut Vec<Worker>,
        seconds: usize,
    ) -> Result<f64> {
        for worker in workers.iter_mut() {
            worker.requests_max = Some((seconds * SENSORS / self.batch_rows()) as u64);
        }
        let figures = measure(server, workers, NO_LIMIT).await?;
        Ok(figures.server_cpu_micros)
    }

    fn report_cpu(&mut self, order: &str, part: usize, cpu_micros: f64) {
        let what = format!(
            "server CPU a reading, {order}, part {} of {PARTS}",
            part + 1
        );
        self.report.value("late", &what, cpu_micros, "µs");
    }

    /// The seconds of a part: each day of the part has whole batches.
    fn part_seconds(&self) -> usize {
        let batch_seconds = self.batch_rows() / SENSORS;
        let seconds = usize::try_from(self.options.fill).unwrap_or(usize::MAX) / SENSORS;
        let unit = batch_seconds * DAYS_A_PART;
        seconds.div_ceil(unit) * unit
    }

    fn batch_rows(&self) -> usize {
        // A short trial has few batches, and a day must have a whole number of them.
        if self.options.fill < (BATCH_ROWS * DAYS_A_PART) as u64 {
            SENSORS
        } else {
            BATCH_ROWS
        }
    }
}
