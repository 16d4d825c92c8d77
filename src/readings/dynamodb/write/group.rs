//! Stores a group of readings: looks up items for the plan, plans, sends, and plans again after a change.

mod lookups;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::super::read::aggregates::sensor_aggregates;
use super::super::replica::status::StoreStatus;
use super::super::table::backoff::Backoff;
use super::super::table::client::{Tables, build_error};
use super::super::table::items::{Item, StoredReading, WriteShard, damaged};
use super::changes::{Key, ReadingOutcome, changes};
use super::known_sensor::KnownSensor;
use super::plan::{Plan, plan};
use super::queue::{Pending, split_off};
use super::send::{SendOutcome, deadline_error, send};
use super::sensor_limit::SensorLimit;
use super::transaction::{Attempt, Target};
use crate::error::{StoreError, StoreErrorKind};
use crate::random;
use crate::readings::SensorId;

/// The input of a group.
#[derive(Debug)]
pub(crate) struct GroupTask {
    pub(crate) tables: Tables,
    pub(crate) status: Arc<StoreStatus>,
    pub(crate) attempt: Attempt,
    pub(crate) readings: Vec<Pending>,
    /// The known sensors of the group; the other sensors are looked up.
    pub(crate) known: HashMap<SensorId, KnownSensor>,
    /// Sensors of queued readings, looked up together with the sensors of the group.
    pub(crate) prefetched: Vec<SensorId>,
    pub(crate) sensor_limit: Arc<SensorLimit>,
    /// Whether the readings are probably stored already. In this case a lookup is cheaper than a failed write.
    pub(crate) reads_before_write: bool,
    pub(crate) sensors_max: u64,
    pub(crate) deadline: Instant,
}

/// The result of a group.
#[derive(Debug)]
pub(crate) struct GroupResult {
    pub(crate) attempt: Attempt,
    pub(crate) finished: Vec<(Pending, ReadingResult)>,
    /// Readings to put back into the queue.
    pub(crate) to_retry: Vec<Pending>,
    /// The sensors as known now; unknown sensors are left out.
    pub(crate) known: Vec<(SensorId, KnownSensor)>,
    /// The sensors looked up for later groups.
    pub(crate) prefetched: Vec<(SensorId, KnownSensor)>,
    /// All sensors of the group.
    pub(crate) sensors: Vec<SensorId>,
    /// Whether most of the readings were stored already.
    pub(crate) mostly_stored: bool,
    /// Whether the lease belongs to another replica now.
    pub(crate) fenced: bool,
    /// How long the group took.
    pub(crate) elapsed: Duration,
    /// Why the readings in `to_retry` were not stored.
    pub(crate) failure: Option<StoreError>,
}

/// The result of a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReadingResult {
    Stored(ReadingOutcome),
    /// The sensor is new, and the sensor limit is reached.
    SensorLimitReached,
}

/// Stores a group of readings, until the deadline of the group.
pub(crate) async fn store(task: GroupTask) -> GroupResult {
    let started = Instant::now();
    let sensors: BTreeSet<_> = task.readings.iter().map(|it| it.sensor.clone()).collect();
    let mut group = Group {
        stored: HashMap::new(),
        finished: Vec::new(),
        to_retry: Vec::new(),
        known_shard: task.attempt.shard.clone(),
        fenced: false,
        updated: Vec::new(),
        prefetched: Vec::new(),
        task,
    };
    // A transaction in flight at the deadline may be committed or not. The next read of the write shard shows the result.
    let deadline = group.task.deadline;
    let failure = tokio::time::timeout_at(deadline, group.run())
        .await
        .unwrap_or_else(|_| Err(deadline_error()))
        .err();
    let Group {
        mut task,
        finished,
        mut to_retry,
        known_shard,
        fenced,
        mut updated,
        prefetched,
        ..
    } = group;
    if failure.is_none() {
        // Lookups for postponed readings, or for readings already stored, are still valid.
        let written: HashSet<_> = updated.iter().map(|(sensor, _)| sensor.clone()).collect();
        let rest = task.known.into_iter();
        let rest = rest.filter(|(sensor, _)| !written.contains(sensor));
        updated.extend(rest.map(|(sensor, known)| (sensor, known.without_others())));
    }
    // A reading without a result has failed, unless the reading was postponed.
    task.readings.append(&mut to_retry);
    task.attempt.shard = known_shard;
    let unchanged = finished
        .iter()
        .filter(|(_, finished)| *finished == ReadingResult::Stored(ReadingOutcome::Unchanged))
        .count();
    GroupResult {
        attempt: task.attempt,
        mostly_stored: unchanged * 2 > finished.len(),
        finished,
        to_retry: task.readings,
        known: updated,
        prefetched,
        sensors: sensors.into_iter().collect(),
        fenced,
        elapsed: started.elapsed(),
        failure,
    }
}

struct Group {
    task: GroupTask,
    stored: HashMap<Key, StoredReading>,
    finished: Vec<(Pending, ReadingResult)>,
    to_retry: Vec<Pending>,
    /// The write shard, as far as its state is known.
    known_shard: WriteShard,
    fenced: bool,
    updated: Vec<(SensorId, KnownSensor)>,
    prefetched: Vec<(SensorId, KnownSensor)>,
}

impl Group {
    async fn run(&mut self) -> Result<(), StoreError> {
        self.look_up_sensors().await?;
        if self.task.reads_before_write {
            self.look_up_readings().await?;
        }
        let mut backoff = Backoff::new();
        let mut attempts = 0u32;
        loop {
            if self.task.readings.is_empty() {
                return Ok(());
            }
            self.look_up_sensors().await?;
            // Each attempt has a new id; the transaction writes the id.
            self.task.attempt.attempt_id = random::hex_id()?;
            let of_readings = self.task.readings.iter().map(|it| (&it.sensor, it.point));
            let (outcomes, changes) = changes(of_readings, &self.stored);
            let planned = plan(
                &self.task.tables.names,
                &self.task.attempt,
                &changes,
                &self.task.known,
            )?;
            let mut transaction = match planned {
                Plan::Nothing => {
                    self.finish(&outcomes);
                    return Ok(());
                }
                Plan::NeedAggregates(sensors) => {
                    for sensor in sensors {
                        let aggregates = sensor_aggregates(&self.task.tables, &sensor).await?;
                        let known =
                            KnownSensor::from_aggregates(aggregates, &self.task.attempt.lease);
                        self.task.known.insert(sensor, known);
                    }
                    continue;
                }
                Plan::NeedExtremes(sensors) => {
                    for sensor in sensors {
                        self.find_extremes(&sensor, &changes).await?;
                    }
                    continue;
                }
                Plan::TooLarge(sizes) => {
                    let rest = split_off(&mut self.task.readings, &sizes);
                    // A single reading always fits, unless there are more leases than replicas allowed.
                    if rest.is_empty() {
                        return Err(build_error("a transaction"));
                    }
                    // The extremes were computed for all readings of the group.
                    for known in self.task.known.values_mut() {
                        known.extremes = None;
                    }
                    self.to_retry.splice(0..0, rest);
                    continue;
                }
                Plan::Send(transaction) => transaction,
            };
            let GroupTask {
                tables,
                status,
                attempt,
                known,
                deadline,
                ..
            } = &self.task;
            // Plans the same transaction again for a retry. Retries are rare, so this is cheaper than a copy of every transaction.
            let retry_items = || match plan(&tables.names, attempt, &changes, known)? {
                Plan::Send(transaction) => Ok(transaction.items),
                _ => Err(build_error("a transaction")),
            };
            match send(
                tables,
                status,
                attempt,
                &mut transaction,
                retry_items,
                *deadline,
            )
            .await
            {
                SendOutcome::Committed => {
                    self.known_shard = transaction.shard;
                    self.updated = transaction.aggregates;
                    self.finish(&outcomes);
                    return Ok(());
                }
                SendOutcome::Outdated(targets) => {
                    attempts += 1;
                    debug!(attempts, outdated = targets.len(), "planned anew");
                    self.learn(targets)?;
                    // The first time only the known sensors were out of date. Later failures mean: other replicas write to the
                    // same items.
                    if attempts > 1 && !backoff.pause(self.task.deadline).await {
                        return Err(contended());
                    }
                }
                SendOutcome::Overtaken(shard) => {
                    // The earlier attempt was committed, so the readings are stored, and the known sensors are out of date.
                    self.task.attempt.shard = shard.clone();
                    self.known_shard = shard;
                    self.task.known.clear();
                    self.look_up_readings().await?;
                }
                SendOutcome::Fenced => {
                    self.fenced = true;
                    return Err(StoreError::new(
                        StoreErrorKind::Unavailable,
                        "another replica has taken over, or a recount is running",
                    ));
                }
                SendOutcome::Unknown(error) | SendOutcome::Refused(error) => return Err(error),
            }
        }
    }

    fn finish(&mut self, outcomes: &[ReadingOutcome]) {
        let readings = std::mem::take(&mut self.task.readings);
        let finished = outcomes.iter().map(|it| ReadingResult::Stored(*it));
        self.finished.extend(readings.into_iter().zip(finished));
    }

    /// Takes the items that DynamoDB returned for failed conditions.
    fn learn(&mut self, targets: Vec<(Target, Option<Item>)>) -> Result<(), StoreError> {
        for (target, item) in targets {
            match (target, item) {
                (Target::Reading(key), Some(item)) => {
                    let stored = StoredReading::from_item(&item)
                        .ok_or_else(|| damaged("a stored reading"))?;
                    self.stored.insert(key, stored);
                }
                (Target::Reading(key), None) => {
                    self.stored.remove(&key);
                }
                (Target::Sensor(sensor), _) => {
                    self.task.known.remove(&sensor);
                }
                (Target::WriteShard, _) => {}
            }
        }
        // The aggregates of all replicas have to be read together, so they are read again.
        for known in self.task.known.values_mut() {
            known.others = None;
            known.extremes = None;
        }
        Ok(())
    }
}

fn contended() -> StoreError {
    StoreError::new(
        StoreErrorKind::Overloaded,
        "other replicas write to the same readings all the time",
    )
}
