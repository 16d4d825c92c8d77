//! Rounds of load: the senders, and the result of a round on one server.

use std::time::Duration;

use anyhow::Result;
use fieldstation::readings::Stats;

use crate::fleet::{Fleet, ReadingsRequest};
use crate::load::{self, Work, Worker};
use crate::proc::Usage;
use crate::report::Figures;
use crate::server::Server;

/// Splits sensors among connections. Each connection is a gateway with separate sensors, so the readings of a sensor arrive in order.
pub(crate) fn recorders(sensors: usize, connections: usize, rows: usize) -> Result<Vec<Worker>> {
    (0..connections)
        .map(|index| {
            let first = sensors * index / connections;
            let end = sensors * (index + 1) / connections;
            let fleet = Fleet::new(first, end - first)?;
            let request = match rows {
                1 => ReadingsRequest::put(fleet)?,
                rows => ReadingsRequest::batch(fleet, rows)?,
            };
            Ok(Worker::unpaced(Work::Record(request)))
        })
        .collect()
}

/// The totals of all acknowledged writes of these workers.
pub(crate) fn acknowledged(workers: &[Worker]) -> Stats {
    workers.iter().fold(Stats::EMPTY, |mut all, worker| {
        all.merge(&worker.acknowledged);
        all
    })
}

/// Runs a round of load on a server. The CPU time between the round and the idle server counts too.
pub(crate) async fn measure(
    server: &Server,
    workers: &mut Vec<Worker>,
    duration: Duration,
) -> Result<Figures> {
    let own = std::process::id();
    let begin = server.usage()?;
    let client_begin = Usage::of(own)?;
    let load = load::run(server.address, workers, duration).await?;
    let client_end = Usage::of(own)?;
    let end = settled(server).await?;
    let items = load.items as f64;
    let [p50_ms, p99_ms, max_ms] = load.latencies.quantiles_ms([0.5, 0.99, 1.0]);
    Ok(Figures {
        items: load.items,
        items_per_second: items / load.elapsed.as_secs_f64(),
        server_cpu_micros: (end.cpu - begin.cpu).as_secs_f64() * 1e6 / items,
        client_cpu_micros: (client_end.cpu - client_begin.cpu).as_secs_f64() * 1e6 / items,
        p50_ms,
        p99_ms,
        max_ms,
        written_bytes: (end.written_bytes - begin.written_bytes) as f64 / items,
    })
}

/// The usage of the server as soon as the server is idle, or after a few seconds.
async fn settled(server: &Server) -> Result<Usage> {
    const LOOK_EVERY: Duration = Duration::from_millis(100);
    const LOOKS_MAX: usize = 50;
    let mut last = server.usage()?;
    for _ in 0..LOOKS_MAX {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = server.usage()?;
        if now.cpu - last.cpu < LOOK_EVERY / 5 {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}
