//! Starts and stops with fleets of different sizes.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::control::Control;
use crate::report::median;
use crate::scenarios::Run;
use crate::server::Server;

/// The number of readings per sensor.
const READINGS_PER_SENSOR: u64 = 10;
/// The number of timed starts.
const STARTS: usize = 3;
/// The time until the server is idle after the last batch.
const IDLE: Duration = Duration::from_secs(2);
impl Run {
    pub(crate) async fn restart(&mut self) -> Result<()> {
        for sensors in self.options.fleet.clone() {
            let name = format!("restart-{sensors}");
            self.report.heading(
                &name,
                &format!("{sensors} sensors with {READINGS_PER_SENSOR} readings each"),
            );
            self.restart_fleet(&name, sensors).await?;
        }
        Ok(())
    }

    async fn restart_fleet(&mut self, name: &str, sensors: usize) -> Result<()> {
        let data = self.data(name);
        let server = Server::product(&data)?;
        let (_, idle_bytes) = server.resident_bytes()?;
        let readings = sensors as u64 * READINGS_PER_SENSOR;
        let stored = self.fill(&server, 0, sensors, readings).await?;
        tokio::time::sleep(IDLE).await;
        self.resident(name, "after they came in", &server, idle_bytes, sensors)?;

        drop(server); // Kills the server.
        let mut times = Vec::new();
        for _ in 1..STARTS {
            times.push(Server::product(&data)?.ready_in()?);
        }
        let server = Server::product(&data)?;
        times.push(server.ready_in()?);
        self.report.value(
            name,
            "start after kill -9, until ready",
            median(times),
            "ms",
        );
        self.resident(name, "after a start", &server, idle_bytes, sensors)?;
        Control::new(server.address).verify(&stored)?;

        let (mut stops, mut starts) = (vec![stop(server)?], Vec::new());
        for _ in 0..STARTS {
            let server = Server::product(&data)?;
            starts.push(server.ready_in()?);
            stops.push(stop(server)?);
        }
        self.report
            .value(name, "first stop after that", stops[0], "ms");
        self.report.value(
            name,
            "start after a stop, until ready",
            median(starts),
            "ms",
        );
        self.report.value(
            name,
            "stop with nothing to do",
            median(stops.split_off(1)),
            "ms",
        );
        remove(&data)
    }

    fn resident(
        &mut self,
        name: &str,
        when: &str,
        server: &Server,
        idle_bytes: u64,
        sensors: usize,
    ) -> Result<()> {
        let (_, now) = server.resident_bytes()?;
        let bytes = now.saturating_sub(idle_bytes) as f64 / sensors as f64;
        let what = format!("resident memory a sensor above an empty server, {when}");
        self.report.value(name, &what, bytes, "bytes");
        Ok(())
    }
}

/// The duration of a stop, in milliseconds.
fn stop(server: Server) -> Result<f64> {
    let begin = Instant::now();
    server.stop()?;
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}

/// The data of a large fleet is removed before the next fleet.
fn remove(data: &Path) -> Result<()> {
    Ok(std::fs::remove_dir_all(data)?)
}
