//! Checks whether the statistics still match the readings, a sensor or two at a time, while the server runs. Differences arise
//! only if another program writes into the tables. A check reads about the same amount for every sensor, small or large. A check
//! compares readings and aggregates as of the same snapshot, so that writes of other replicas cause no false alarm.

mod comparison;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use self::comparison::{Verdict, compare};
use super::replica::status::StoreStatus;
use super::table::client::{Tables, request_error};
use super::table::connection::Connection;
use super::table::items::{get_text, text};
use super::table::keys;
use super::table::setup::url_of;
use crate::error::{StoreError, StoreErrorKind};
use crate::random;
use crate::readings::SensorId;

/// How long after the start the first check begins.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// How long a check may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a check waits before the second comparison of a sensor with a difference. The second difference is reported.
const CONFIRMATION_PAUSE: Duration = Duration::from_millis(500);
/// How many sensors with a difference are kept, and how many of these sensors each check compares again.
const FOUND_MAX: usize = 20;
const AGAIN_MAX: usize = 5;
/// How many items a check skips at most to reach the next sensor.
const AGGREGATES_MAX: u64 = 10;

/// Sensors with statistics that differ from the readings, each with the difference.
#[derive(Debug, Default)]
pub(crate) struct DriftedSensors {
    found: Mutex<BTreeMap<SensorId, String>>,
}

impl DriftedSensors {
    /// Warnings for an operator, each with the remedy.
    pub(crate) fn warnings(&self, connection: &Connection) -> Vec<String> {
        let found = self.found.lock();
        let url = url_of(&connection.location);
        let warning = found.iter().map(|(sensor, why)| {
            format!(
                "the statistics do not follow the readings of the sensor `{sensor}`: {why}; another program has written into the \
                 tables; `fieldstation dynamodb recount --check --readings {url}` names all that differs"
            )
        });
        warning.collect()
    }

    fn record(&self, sensor: &SensorId, verdict: Verdict) {
        let mut found = self.found.lock();
        match verdict {
            Verdict::Unknown => {}
            Verdict::Consistent => {
                if found.remove(sensor).is_some() {
                    info!("statistics follow the readings again");
                    debug!(
                        sensor = sensor.as_str(),
                        "statistics follow the readings again"
                    );
                }
            }
            Verdict::Different(why) => {
                let is_known = found.contains_key(sensor);
                if !is_known && found.len() >= FOUND_MAX {
                    return;
                }
                if !is_known {
                    debug!(
                        sensor = sensor.as_str(),
                        why, "statistics do not follow the readings"
                    );
                    // Without the id, which may be personal; `/health` names the sensor.
                    warn!(
                        why,
                        "statistics do not follow the readings; `fieldstation dynamodb recount --check` names all that differs"
                    );
                }
                found.insert(sensor.clone(), why);
            }
        }
    }

    fn has(&self, sensor: &SensorId) -> bool {
        self.found.lock().contains_key(sensor)
    }

    fn next(&self, turn: usize) -> Vec<SensorId> {
        let found = self.found.lock();
        let all = found.keys().cycle().skip(turn);
        all.take(found.len().min(AGAIN_MAX)).cloned().collect()
    }
}

/// The task that checks sensors.
pub(crate) struct DriftMonitor {
    connection: Arc<Connection>,
    status: Arc<StoreStatus>,
    drifted_sensors: Arc<DriftedSensors>,
    pause: Duration,
    /// The sensor found by the last scan of the readings; the first scan begins anywhere.
    last_scanned: Option<String>,
    /// The last sensor checked in each partition of aggregates.
    last_in_partition: HashMap<u8, SensorId>,
}

impl DriftMonitor {
    pub(crate) fn new(
        connection: Arc<Connection>,
        status: Arc<StoreStatus>,
        drifted_sensors: Arc<DriftedSensors>,
        pause: Duration,
    ) -> Self {
        Self {
            connection,
            status,
            drifted_sensors,
            pause,
            last_scanned: None,
            last_in_partition: HashMap::new(),
        }
    }

    /// Checks sensors until the task is aborted.
    pub(crate) async fn run(mut self) {
        tokio::time::sleep(FIRST_PAUSE.min(self.pause)).await;
        for turn in 0.. {
            // During an outage the server needs the requests for other things.
            if self.status.may_write().is_ok() && !self.status.has_outage() {
                let looked = timeout(TIMEOUT, self.check(turn)).await;
                if let Ok(Err(error)) = looked {
                    debug!(%error, "whether statistics follow the readings could not be looked at");
                }
            }
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn check(&mut self, turn: usize) -> Result<(), StoreError> {
        let tables = self.connection.tables();
        let mut sensors = self.drifted_sensors.next(turn.wrapping_mul(AGAIN_MAX));
        sensors.extend(self.next_with_readings(&tables).await?);
        sensors.extend(self.next_with_aggregates(&tables).await?);
        sensors.dedup();
        for sensor in sensors {
            let mut verdict = compare_or_report_damage(&tables, &sensor).await?;
            if matches!(verdict, Verdict::Different(_)) && !self.drifted_sensors.has(&sensor) {
                tokio::time::sleep(CONFIRMATION_PAUSE).await;
                verdict = compare_or_report_damage(&tables, &sensor).await?;
            }
            self.drifted_sensors.record(&sensor, verdict);
        }
        Ok(())
    }

    /// A sensor with readings: the next sensor in the order of the scan, which is no particular order.
    async fn next_with_readings(
        &mut self,
        tables: &Tables,
    ) -> Result<Option<SensorId>, StoreError> {
        let last = match self.last_scanned.take() {
            Some(sensor) => sensor,
            None => random::hex_id()?,
        };
        // Sorts after all timestamps.
        let place = HashMap::from([
            ("sensor_id".to_owned(), text(last)),
            ("timestamp".to_owned(), text(":")),
        ]);
        // After the end of the table the scan begins again.
        for start in [Some(place), None] {
            let page = tables
                .reader
                .scan()
                .table_name(&tables.names.readings)
                .set_exclusive_start_key(start)
                .limit(1)
                .send()
                .await
                .map_err(request_error)?;
            let first = page.items().first();
            if let Some(sensor) = first.and_then(|item| get_text(item, "sensor_id")) {
                self.last_scanned = Some(sensor.to_owned());
                return Ok(SensorId::new(sensor).ok());
            }
        }
        Ok(None)
    }

    /// A sensor with aggregates: a few items after the last checked sensor in a random partition.
    async fn next_with_aggregates(
        &mut self,
        tables: &Tables,
    ) -> Result<Option<SensorId>, StoreError> {
        let random = u64::from(random::bytes().map(u32::from_le_bytes)?);
        let partitions = u64::from(keys::SENSOR_PARTITIONS);
        // With few sensors most partitions are empty.
        for step in 0..partitions {
            let partition = ((random + step) % partitions) as u8;
            let from = self
                .last_in_partition
                .get(&partition)
                .map(keys::after_sensor);
            let items = 1 + (random / partitions % AGGREGATES_MAX) as usize;
            let from = from.unwrap_or_else(|| " ".to_owned());
            let range = tables.aggregate_range(keys::partition(partition), from, "\u{10FFFF}");
            let page = tables.page(&range, None, Some(items)).await?;
            let last = page.items.last().and_then(|item| get_text(item, "cell"));
            let sensor = last
                .and_then(keys::split_partial_aggregate)
                .map(|(sensor, _)| sensor);
            match sensor.and_then(|sensor| SensorId::new(sensor).ok()) {
                Some(sensor) => {
                    self.last_in_partition.insert(partition, sensor.clone());
                    return Ok(Some(sensor));
                }
                None => drop(self.last_in_partition.remove(&partition)),
            }
        }
        Ok(None)
    }
}

async fn compare_or_report_damage(
    tables: &Tables,
    sensor: &SensorId,
) -> Result<Verdict, StoreError> {
    match compare(tables, sensor).await {
        Err(error) if error.kind() == StoreErrorKind::Damaged => {
            Ok(Verdict::Different(error.message().to_owned()))
        }
        verdict => verdict,
    }
}
