//! Figures, their summary over rounds, and their presentation.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

/// The durations of many requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn push(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The rate per second, when each request begins at the end of the previous request.
    pub(crate) fn rate(&self) -> f64 {
        self.len() as f64 / self.0.iter().sum::<Duration>().as_secs_f64()
    }

    /// The latency quantile (0 to 1) in milliseconds; 0 without any latency.
    pub(crate) fn quantiles_ms<const N: usize>(mut self, of: [f64; N]) -> [f64; N] {
        self.0.sort_unstable();
        of.map(|fraction| {
            let index = (fraction * self.0.len() as f64).ceil() as usize;
            let latency = self.0.get(index.saturating_sub(1));
            latency.map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
        })
    }
}

/// The result of a round of load on a server. An item is a request, or a reading in a request with many readings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) items: u64,
    pub(crate) items_per_second: f64,
    pub(crate) server_cpu_micros: f64,
    pub(crate) client_cpu_micros: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// The bytes written to disk because of the server.
    pub(crate) written_bytes: f64,
}

/// The median: the middle value, or the mean of the two middle values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let upper = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 0 => f64::midpoint(values[upper - 1], values[upper]),
        _ => values[upper],
    }
}

/// All rounds of a scenario on a server.
#[derive(Default)]
pub(crate) struct Rounds(Vec<Figures>);

impl Rounds {
    pub(crate) fn push(&mut self, figures: Figures) {
        self.0.push(figures);
    }

    fn median(&self, of: impl Fn(&Figures) -> f64) -> f64 {
        median(self.0.iter().map(of))
    }

    pub(crate) fn items_per_second(&self) -> f64 {
        self.median(|round| round.items_per_second)
    }

    pub(crate) fn server_cpu_micros(&self) -> f64 {
        self.median(|round| round.server_cpu_micros)
    }

    pub(crate) fn p99_ms(&self) -> f64 {
        self.median(|round| round.p99_ms)
    }

    /// Half the distance between the best and the worst round, relative to the median. A smaller difference means nothing.
    fn spread(&self) -> f64 {
        let rates = self.0.iter().map(|round| round.items_per_second);
        let highest = rates.clone().fold(f64::MIN, f64::max);
        (highest - rates.fold(f64::MAX, f64::min)) / self.items_per_second()
    }

    fn row(&self) -> String {
        format!(
            "{:>10.0}/s ±{:<4} {:>8.3} {:>8.3} {:>9.3} {:>9.3} {:>9.3} {:>9.1}",
            self.items_per_second(),
            format!("{:.0}%", self.spread() * 50.0),
            self.server_cpu_micros(),
            self.median(|round| round.client_cpu_micros),
            self.median(|round| round.p50_ms),
            self.p99_ms(),
            self.median(|round| round.max_ms),
            self.median(|round| round.written_bytes),
        )
    }

    fn to_json(&self) -> Value {
        json!({
            "itemsPerSecond": self.items_per_second(),
            "spread": self.spread(),
            "serverCpuMicrosPerItem": self.server_cpu_micros(),
            "clientCpuMicrosPerItem": self.median(|round| round.client_cpu_micros),
            "p50Ms": self.median(|round| round.p50_ms),
            "p99Ms": self.p99_ms(),
            "maxMs": self.median(|round| round.max_ms),
            "writtenBytesPerItem": self.median(|round| round.written_bytes),
        })
    }
}

/// Everything measured: printed at once, and kept for the file.
#[derive(Default)]
pub(crate) struct Report {
    scenarios: Vec<Value>,
    values: Vec<Value>,
}

impl Report {
    /// Begins a scenario: the description, then the names of the columns.
    pub(crate) fn heading(&self, name: &str, what: &str) {
        println!("\n== {name}: {what}");
    }

    /// Reports the rounds of a scenario, and beside them the rounds of the floor, if any.
    pub(crate) fn rounds(
        &mut self,
        name: &str,
        item: &str,
        product: &Rounds,
        floor: Option<&Rounds>,
    ) {
        println!(
            "{:>14} {:>12} ±half  {:>8} {:>8} {:>9} {:>9} {:>9} {:>9}",
            "", item, "CPU µs", "client", "p50 ms", "p99 ms", "max ms", "written B"
        );
        println!("{:>14} {}", "fieldstation", product.row());
        let mut value = json!({"name": name, "item": item, "product": product.to_json()});
        if let Some(floor) = floor {
            let rate = product.items_per_second() / floor.items_per_second();
            let cpu = product.server_cpu_micros() / floor.server_cpu_micros();
            println!("{:>14} {}", "floor", floor.row());
            println!(
                "{:>14} {:>10.0} %        {cpu:>8.2}×",
                "to the floor",
                rate * 100.0
            );
            value["floor"] = floor.to_json();
            value["rateToFloor"] = rate.into();
            value["cpuToFloor"] = cpu.into();
        }
        self.scenarios.push(value);
    }

    /// Reports a single figure after the scenario.
    pub(crate) fn value(&mut self, scenario: &str, name: &str, value: f64, unit: &str) {
        println!("   {name:<58} {value:>12.3} {unit}");
        self.values
            .push(json!({"scenario": scenario, "name": name, "value": value, "unit": unit}));
    }

    /// Writes everything as JSON.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let all = json!({"scenarios": self.scenarios, "values": self.values});
        writeln!(File::create(path)?, "{all:#}")?;
        Ok(())
    }
}
