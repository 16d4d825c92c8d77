//! Compares the answers of the server with the recount, exactly.

use std::iter::{Copied, Peekable};
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use parking_lot::Mutex;
use reqwest::{Method, Request, StatusCode, Url};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::connection::Shared;
use super::recount::Expected;
use crate::cli::client::{CallError, Client, reason};
use crate::readings::ingest::Item;
use crate::readings::{Point, Stats, Temperature, Timestamp};

/// The most differences that are shown.
const DIFFERENCES_SHOWN_MAX: usize = 20;

/// The exports at the same time. A server allows only a few.
const EXPORTS_AT_ONCE_MAX: usize = 2;

/// The result of the comparison.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Sensors whose count, extremes, average, first and last reading were compared.
    pub(super) sensors: u64,
    /// The sensors whose readings were compared one by one, and the number of these readings.
    pub(super) sampled_sensors: u64,
    pub(super) sampled_readings: u64,
    pub(super) difference_count: u64,
    /// The first differences, in words.
    pub(super) differences: Vec<String>,
}

#[derive(Default)]
struct Findings {
    count: AtomicU64,
    shown: Mutex<Vec<String>>,
}

impl Findings {
    fn compare<T: PartialEq + std::fmt::Display>(
        &self,
        sensor: &str,
        action: &str,
        expected: Option<T>,
        found: Option<T>,
    ) {
        if expected == found {
            return;
        }
        let shown = |value: Option<T>| value.map_or_else(|| "none".to_owned(), |it| it.to_string());
        self.add(format!(
            "{sensor}: {action} is {}, and the recount says {}",
            shown(found),
            shown(expected)
        ));
    }

    fn add(&self, difference: String) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut differences = self.shown.lock();
        if differences.len() < DIFFERENCES_SHOWN_MAX {
            differences.push(difference);
        }
    }
}

/// A number as the text from the server, so that no parser rounds the number before the comparison.
type Number<'a> = Option<&'a RawValue>;

#[derive(Deserialize)]
struct SensorAnswer<'a> {
    count: u64,
    #[serde(borrow)]
    minimum: Number<'a>,
    #[serde(borrow)]
    maximum: Number<'a>,
    #[serde(borrow)]
    average: Number<'a>,
    first: String,
    last: String,
    #[serde(borrow)]
    latest: Number<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StatsAnswer<'a> {
    #[serde(borrow)]
    minimum: Number<'a>,
    #[serde(borrow)]
    maximum: Number<'a>,
    #[serde(borrow)]
    average: Number<'a>,
}

/// Compares every sensor's statistics, and every reading of `sample` sensors.
///
/// # Errors
/// The server does not answer. A difference is no error; the verdict holds it.
pub(super) async fn prove(
    shared: &Shared,
    connections: usize,
    sample: usize,
    bar: &ProgressBar,
) -> Result<Verdict> {
    let (expected, sampled) = {
        let recount = shared.recount.lock();
        let sensors = recount.sensors();
        let expected: Vec<(u32, Expected)> = sensors
            .iter()
            .filter_map(|&sensor| Some((sensor, recount.expected(sensor)?)))
            .collect();
        let sample = sample.min(sensors.len());
        let sampled: Vec<(u32, Vec<Point>)> = (0..sample)
            .filter_map(|number| sensors.get(number * sensors.len() / sample))
            .map(|&sensor| (sensor, recount.points(sensor)))
            .collect();
        (expected, sampled)
    };
    bar.set_length((expected.len() + sampled.len()) as u64);
    let findings = Findings::default();
    stream::iter(&expected)
        .map(|(sensor, expected)| {
            let id = shared.fleet.id(*sensor).as_str();
            check_sensor(&shared.client, &findings, id, expected)
        })
        .buffer_unordered(connections)
        .try_for_each(|()| async {
            bar.inc(1);
            Ok(())
        })
        .await?;
    stream::iter(&sampled)
        .map(|(sensor, points)| {
            let id = shared.fleet.id(*sensor).as_str();
            check_readings(&shared.client, &findings, id, points)
        })
        .buffer_unordered(connections.min(EXPORTS_AT_ONCE_MAX))
        .try_for_each(|()| async {
            bar.inc(1);
            Ok(())
        })
        .await?;
    Ok(Verdict {
        sensors: expected.len() as u64,
        sampled_sensors: sampled.len() as u64,
        sampled_readings: sampled.iter().map(|(_, points)| points.len() as u64).sum(),
        difference_count: findings.count.into_inner(),
        differences: findings.shown.into_inner(),
    })
}

async fn check_sensor(
    client: &Client,
    findings: &Findings,
    id: &str,
    expected: &Expected,
) -> Result<()> {
    let Some(body) = get(client, client.server().at(&["api", "sensors", id])).await? else {
        findings.add(format!("{id}: the server does not know this sensor"));
        return Ok(());
    };
    let answer: SensorAnswer<'_> = read(client, &body)?;
    let stats = &expected.stats;
    findings.compare(id, "count", Some(stats.count()), Some(answer.count));
    check_stats(
        findings,
        id,
        stats,
        (answer.minimum, answer.maximum, answer.average),
    )?;
    let timestamp = |text: &str| text.parse::<Timestamp>().ok();
    findings.compare(
        id,
        "first",
        Some(expected.first.timestamp),
        timestamp(&answer.first),
    );
    findings.compare(
        id,
        "last",
        Some(expected.last.timestamp),
        timestamp(&answer.last),
    );
    let latest = temperature(answer.latest)?;
    findings.compare(id, "latest", Some(expected.last.temperature), latest);

    let mut url = client.server().at(&["api", "stats"]);
    url.query_pairs_mut().append_pair("sensorId", id);
    check_stats_at(client, findings, id, stats, url).await
}

async fn check_stats_at(
    client: &Client,
    findings: &Findings,
    action: &str,
    stats: &Stats,
    url: Url,
) -> Result<()> {
    let Some(body) = get(client, url).await? else {
        findings.add(format!("{action}: the server does not know this sensor"));
        return Ok(());
    };
    let answer: StatsAnswer<'_> = read(client, &body)?;
    let numbers = (answer.minimum, answer.maximum, answer.average);
    check_stats(findings, &format!("{action} in /api/stats"), stats, numbers)
}

fn check_stats(
    findings: &Findings,
    action: &str,
    stats: &Stats,
    (minimum, maximum, average): (Number<'_>, Number<'_>, Number<'_>),
) -> Result<()> {
    findings.compare(action, "minimum", stats.minimum(), temperature(minimum)?);
    findings.compare(action, "maximum", stats.maximum(), temperature(maximum)?);
    let average = average
        .map(|text| text.get().parse::<f64>())
        .transpose()
        .context("the average is not a number")?;
    findings.compare(action, "average", stats.average(), average);
    Ok(())
}

fn temperature(number: Number<'_>) -> Result<Option<Temperature>> {
    number
        .map(|text| Temperature::parse(text.get().as_bytes()))
        .transpose()
        .context("a temperature in the answer")
}

/// Compares the export of a sensor, and its statistics over two windows, with its readings.
async fn check_readings(
    client: &Client,
    findings: &Findings,
    id: &str,
    points: &[Point],
) -> Result<()> {
    let mut url = client.server().at(&["api", "readings"]);
    url.query_pairs_mut()
        .append_pair("sensorId", id)
        .append_pair("format", "ndjson");
    let mut response = client.open(&Request::new(Method::GET, url), |_| {}).await?;
    let mut comparison = Comparison {
        findings,
        id,
        expected: points.iter().copied().peekable(),
    };
    let mut rest = Vec::new();
    loop {
        let piece = match response.chunk().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(error) => bail!("the export of {id} broke off: {}", reason(&error)),
        };
        rest.extend_from_slice(&piece);
        let Some(end) = memchr::memrchr(b'\n', &rest) else {
            continue;
        };
        for line in rest[..end].split(|&byte| byte == b'\n') {
            comparison.line(line)?;
        }
        rest.drain(..=end);
    }
    if !rest.is_empty() {
        bail!("the export of {id} ends in the middle of a line");
    }
    comparison.end();

    // Two adjacent windows. The server has to decode stored readings at their common edge.
    let middle = points.len() / 2;
    if let Some(edge) = points.get(middle) {
        let (before, after) = points.split_at(middle);
        for (name, part) in [("to", before), ("from", after)] {
            let stats = part.iter().map(|point| point.temperature).collect();
            let mut url = client.server().at(&["api", "stats"]);
            url.query_pairs_mut()
                .append_pair("sensorId", id)
                .append_pair(name, &edge.timestamp.to_string());
            let action = format!("{id} {name} {}", edge.timestamp);
            check_stats_at(client, findings, &action, &stats, url).await?;
        }
    }
    Ok(())
}

/// Compares an arriving export with the expected readings, both in order of time.
struct Comparison<'a> {
    findings: &'a Findings,
    id: &'a str,
    expected: Peekable<Copied<slice::Iter<'a, Point>>>,
}

impl Comparison<'_> {
    fn line(&mut self, line: &[u8]) -> Result<()> {
        let text = std::str::from_utf8(line).context("an export that is not UTF-8")?;
        let item = Item::from_json(text).with_context(|| format!("an export with {text:?}"))?;
        let Some(timestamp) = item.timestamp else {
            bail!("the export has the line {text:?}, which has no timestamp");
        };
        while let Some(missing) = self.expected.next_if(|point| point.timestamp < timestamp) {
            self.missing(missing);
        }
        let expected = self.expected.next_if(|point| point.timestamp == timestamp);
        let action = format!("the temperature at {timestamp} in the export");
        let expected = expected.map(|point| point.temperature);
        self.findings
            .compare(self.id, &action, expected, Some(item.temperature));
        if item.sensor_id != self.id {
            self.findings
                .add(format!("{}: the export has {text}", self.id));
        }
        Ok(())
    }

    fn end(mut self) {
        while let Some(missing) = self.expected.next() {
            self.missing(missing);
        }
    }

    fn missing(&self, point: Point) {
        self.findings.add(format!(
            "{}: the export lacks {} at {}",
            self.id, point.temperature, point.timestamp
        ));
    }
}

/// The body; `None` for the status 404.
async fn get(client: &Client, url: Url) -> Result<Option<Bytes>> {
    let request = Request::new(Method::GET, url);
    match client.call(&request, |_| {}).await {
        Ok(answer) => Ok(Some(answer.value)),
        Err(CallError::Status { status, .. }) if status == StatusCode::NOT_FOUND => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read<'a, T: Deserialize<'a>>(client: &Client, body: &'a [u8]) -> Result<T> {
    serde_json::from_slice(body).with_context(|| {
        format!(
            "{} does not answer as expected: {}",
            client.server(),
            String::from_utf8_lossy(&body[..body.len().min(200)])
        )
    })
}
