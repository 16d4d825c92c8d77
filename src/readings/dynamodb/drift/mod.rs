//! Whether the statistics still follow the readings, looked at beside the server a sensor or two at a time. They do unless another
//! program writes into the tables. A look reads as much of a sensor whether it has a thousand readings or a million, and judges
//! only what it has seen as of one moment, so that replicas that write meanwhile are no false alarm.

mod comparison;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use self::comparison::{Verdict, compare};
use super::replica::lease::unique_name;
use super::replica::status::Standing;
use super::table::client::{Tables, read_error};
use super::table::connection::Connection;
use super::table::items::{get_text, text};
use super::table::keys;
use super::table::setup::url_of;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::SensorId;

/// How soon after the start the first look is.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How soon what is different is looked at once more, before it is said.
const CONFIRMATION_PAUSE: Duration = Duration::from_millis(500);
/// How many sensors that are different are remembered, and how many of them one look looks at again.
const FOUND_MAX: usize = 20;
const AGAIN_MAX: usize = 5;
/// How many cells are passed over at most to find the next sensor.
const CELLS_MAX: u64 = 10;

/// Sensors whose statistics do not follow their readings, and in what.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Mutex<BTreeMap<SensorId, String>>,
}

impl Findings {
    /// For an operator, with what to do.
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

    fn note(&self, sensor: &SensorId, verdict: Verdict) {
        let mut found = self.found.lock();
        match verdict {
            Verdict::Unknown => {}
            Verdict::Sound => {
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

    fn some(&self, turn: usize) -> Vec<SensorId> {
        let found = self.found.lock();
        let all = found.keys().cycle().skip(turn);
        all.take(found.len().min(AGAIN_MAX)).cloned().collect()
    }
}

/// The one who looks.
pub(crate) struct Lookout {
    connection: Arc<Connection>,
    standing: Arc<Standing>,
    findings: Arc<Findings>,
    pause: Duration,
    /// The sensor that was found last in the table of readings; any place at first.
    scanned: Option<String>,
    /// How far the cells of each partition were gone through.
    walked: HashMap<u8, SensorId>,
}

impl Lookout {
    pub(crate) fn new(
        connection: Arc<Connection>,
        standing: Arc<Standing>,
        findings: Arc<Findings>,
        pause: Duration,
    ) -> Self {
        Self {
            connection,
            standing,
            findings,
            pause,
            scanned: None,
            walked: HashMap::new(),
        }
    }

    /// Looks again and again.
    pub(crate) async fn run(mut self) {
        tokio::time::sleep(FIRST_PAUSE.min(self.pause)).await;
        for turn in 0.. {
            // Whoever is in trouble has more to do, and its requests.
            if self.standing.may_write().is_ok() && !self.standing.is_troubled() {
                let looked = timeout(PATIENCE, self.look(turn)).await;
                if let Ok(Err(error)) = looked {
                    debug!(%error, "whether statistics follow the readings could not be looked at");
                }
            }
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn look(&mut self, turn: usize) -> Result<(), StoreError> {
        let tables = self.connection.tables();
        let mut sensors = self.findings.some(turn.wrapping_mul(AGAIN_MAX));
        sensors.extend(self.with_a_reading(&tables).await?);
        sensors.extend(self.with_a_cell(&tables).await?);
        sensors.dedup();
        for sensor in sensors {
            let mut verdict = judge(&tables, &sensor).await?;
            if matches!(verdict, Verdict::Different(_)) && !self.findings.has(&sensor) {
                tokio::time::sleep(CONFIRMATION_PAUSE).await;
                verdict = judge(&tables, &sensor).await?;
            }
            self.findings.note(&sensor, verdict);
        }
        Ok(())
    }

    /// A sensor that has readings: the one behind the last one, in whatever order the table keeps them.
    async fn with_a_reading(&mut self, tables: &Tables) -> Result<Option<SensorId>, StoreError> {
        let last = match self.scanned.take() {
            Some(sensor) => sensor,
            None => unique_name()?,
        };
        // Sorts after all moments.
        let place = HashMap::from([
            ("sensor_id".to_owned(), text(last)),
            ("timestamp".to_owned(), text(":")),
        ]);
        // The end of the table is followed by its beginning.
        for start in [Some(place), None] {
            let page = tables
                .reader
                .scan()
                .table_name(&tables.readings)
                .set_exclusive_start_key(start)
                .limit(1)
                .send()
                .await
                .map_err(read_error)?;
            let first = page.items().first();
            if let Some(sensor) = first.and_then(|item| get_text(item, "sensor_id")) {
                self.scanned = Some(sensor.to_owned());
                return Ok(SensorId::new(sensor).ok());
            }
        }
        Ok(None)
    }

    /// A sensor that has cells: some way behind the last one of a partition that is any.
    async fn with_a_cell(&mut self, tables: &Tables) -> Result<Option<SensorId>, StoreError> {
        let random = any_number()?;
        let shards = u64::from(keys::SHARDS);
        // Most partitions of a small fleet are empty.
        for step in 0..shards {
            let shard = ((random + step) % shards) as u8;
            let from = self.walked.get(&shard).map(keys::after);
            let items = 1 + (random / shards % CELLS_MAX) as usize;
            let from = from.unwrap_or_else(|| " ".to_owned());
            let range = tables.cells(keys::shard(shard), from, "\u{10FFFF}");
            let page = tables.page(&range, None, Some(items)).await?;
            let last = page.items.last().and_then(|item| get_text(item, "cell"));
            let sensor = last.and_then(keys::split_cell).map(|(sensor, _)| sensor);
            match sensor.and_then(|sensor| SensorId::new(sensor).ok()) {
                Some(sensor) => {
                    self.walked.insert(shard, sensor.clone());
                    return Ok(Some(sensor));
                }
                None => drop(self.walked.remove(&shard)),
            }
        }
        Ok(None)
    }
}

async fn judge(tables: &Tables, sensor: &SensorId) -> Result<Verdict, StoreError> {
    match compare(tables, sensor).await {
        Err(error) if error.kind() == StoreErrorKind::Damaged => {
            Ok(Verdict::Different(error.message().to_owned()))
        }
        verdict => verdict,
    }
}

/// A number of 32 bits.
pub(crate) fn any_number() -> Result<u64, StoreError> {
    let name = unique_name()?;
    // A part of it: 32 bits in hexadecimal digits.
    Ok(name
        .get(..8)
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .unwrap_or_default())
}
