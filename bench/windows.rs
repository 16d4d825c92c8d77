//! Windows over all sensors, with few and with many sensors.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use fieldstation::readings::{Stats, Temperature, Timestamp};
use rusqlite::{Connection, OpenFlags};

use crate::control::Control;
use crate::fleet::{FIRST_SECOND, Fleet};
use crate::report::median;
use crate::scenarios::Run;
use crate::server::Server;

/// The number of requests per window.
const LOOKS: usize = 3;

/// The number of readings per sensor of a large fleet.
const FEW_READINGS: u64 = 10;

/// The largest fleet for windows within seconds. Such a window asks every sensor: with more sensors, the answer is too late.
const SENSORS_ASKED_MAX: u64 = 100_000;

const SECOND: i64 = 1_000_000;

impl Run {
    /// A thousand sensors with a long history, and many sensors with a short history.
    pub(crate) async fn windows(&mut self) -> Result<()> {
        let readings = self.options.window_readings;
        self.windows_of(1_000, readings).await?;
        // In a small run both fleets have the same size.
        let fleets = [100_000, 1_000_000].map(|most| (readings / FEW_READINGS).clamp(1, most));
        for sensors in BTreeSet::from(fleets) {
            self.windows_of(sensors, sensors * FEW_READINGS).await?;
        }
        Ok(())
    }

    async fn windows_of(&mut self, sensors: u64, readings: u64) -> Result<()> {
        let name = format!("windows-{sensors}");
        self.report.heading(
            &name,
            &format!(
                "GET /api/stats from … to … over all of {sensors} sensors, {readings} readings"
            ),
        );
        let data = self.data(&name);
        let server = Server::product(&data)?;
        let fleet = Fleet::new(0, usize::try_from(sensors)?)?.out_of_step();
        let stored = self.fill_from(&server, fleet.clone(), readings).await?;
        // The middle half of the stored time, from second to second, and half a second later.
        let seconds = i64::try_from(readings / sensors)?;
        let from = (FIRST_SECOND + seconds / 4) * SECOND;
        let to = (FIRST_SECOND + seconds - seconds / 4) * SECOND;
        let mut windows = Vec::new();
        let mut shifts = vec![("whole seconds", 0)];
        if sensors <= SENSORS_ASKED_MAX {
            shifts.push(("within seconds", SECOND / 2));
        }
        for (what, shift) in shifts {
            let (from, to) = (from + shift, to + shift);
            windows.push((what, from, to, expected(fleet.clone(), readings, from, to)?));
        }
        self.look(&name, &server, &windows, "while it is filled")?;
        self.finish(&name, server, &data, &stored)?;
        let server = Server::product(&data)?;
        server.ready_in()?;
        self.look(&name, &server, &windows, "after a restart")?;
        server.stop()?;
        let of_totals = totals_bytes(&data)? / readings as f64;
        let what = "totals by periods on disk, a reading";
        self.report.value(&name, what, of_totals, "bytes");
        Ok(())
    }

    fn look(
        &mut self,
        name: &str,
        server: &Server,
        windows: &[(&str, i64, i64, Stats)],
        when: &str,
    ) -> Result<()> {
        for (what, from, to, expected) in windows {
            let text = |micros| {
                let moment = Timestamp::from_micros(micros).context("an odd moment");
                moment.map(|moment| moment.to_string())
            };
            let path = format!("/api/stats?from={}&to={}", text(*from)?, text(*to)?);
            let mut times = Vec::new();
            for _ in 0..LOOKS {
                let begin = Instant::now();
                Control::new(server.address).verify_stats(&path, expected)?;
                times.push(begin.elapsed().as_secs_f64() * 1e3);
            }
            let what = format!("a window from and to {what}, {when}");
            self.report.value(name, &what, median(times), "ms");
        }
        Ok(())
    }
}

/// The statistics of the readings of a fleet within a window.
fn expected(mut fleet: Fleet, readings: u64, from: i64, to: i64) -> Result<Stats> {
    let mut stats = Stats::EMPTY;
    for _ in 0..readings {
        let (at, hundredths) = fleet.next_reading()?;
        if from <= at && at < to {
            let temperature = Temperature::from_micro_degrees(i64::from(hundredths) * 10_000);
            stats.add(temperature.context("an odd temperature")?);
        }
    }
    Ok(stats)
}

/// The bytes in the rows of period totals.
fn totals_bytes(data: &Path) -> Result<f64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(data.join("readings.db"), flags)?;
    let bytes = "SELECT total(length(data) + 10) FROM periods";
    Ok(connection.query_row(bytes, [], |row| row.get(0))?)
}
