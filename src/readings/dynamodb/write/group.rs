//! Storing a group of readings: look up what has to be known, plan, send, and again with what was learned.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::super::random::random_name;
use super::super::read::aggregates::sensor_aggregates;
use super::super::replica::status::Standing;
use super::super::table::backoff::Backoff;
use super::super::table::client::{Tables, internal};
use super::super::table::items::{Item, Lane, StoredReading, damaged};
use super::changes::{Changes, Disposition, Key, changes};
use super::known_sensor::KnownSensor;
use super::lookup::{extremes, own_cells, stored_readings};
use super::plan::{Plan, plan};
use super::queue::{Pending, split_off};
use super::send::{Sent, send, too_late};
use super::sensor_limit::Census;
use super::transaction::{Author, Subject};
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::SensorId;

/// What a group is given.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) tables: Tables,
    pub(crate) standing: Arc<Standing>,
    pub(crate) author: Author,
    pub(crate) readings: Vec<Pending>,
    /// What is known of its sensors; the others are looked up.
    pub(crate) known: HashMap<SensorId, KnownSensor>,
    /// Sensors of readings in line that are looked up together with those of the group.
    pub(crate) ahead: Vec<SensorId>,
    pub(crate) census: Arc<Census>,
    /// Whether the readings are probably there already, so that looking first is cheaper than trying.
    pub(crate) look_first: bool,
    pub(crate) sensors_max: u64,
    pub(crate) deadline: Instant,
}

/// What became of a group.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) author: Author,
    pub(crate) settled: Vec<(Pending, Settled)>,
    /// Readings that are to be put in line again.
    pub(crate) again: Vec<Pending>,
    /// What is known of the sensors now; not of those that are left out.
    pub(crate) known: Vec<(SensorId, KnownSensor)>,
    /// What was found of sensors that were looked up ahead.
    pub(crate) ahead: Vec<(SensorId, KnownSensor)>,
    /// All sensors of the group.
    pub(crate) sensors: Vec<SensorId>,
    /// Whether most of the readings were there already.
    pub(crate) mostly_stored: bool,
    /// Whether the slot is another replica's.
    pub(crate) fenced: bool,
    /// How long all of it took.
    pub(crate) took: Duration,
    /// Why the readings in `again` were not stored; they had their chance.
    pub(crate) failure: Option<StoreError>,
}

/// The end of a reading's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Stored(Disposition),
    /// Its sensor would be one too many.
    NoRoom,
}

/// Stores a group of readings as far as the deadline allows.
pub(crate) async fn store(task: Task) -> Done {
    let started = Instant::now();
    let sensors: BTreeSet<_> = task.readings.iter().map(|it| it.sensor.clone()).collect();
    let mut group = Group {
        stored: HashMap::new(),
        settled: Vec::new(),
        again: Vec::new(),
        lanes_known: task.author.lane.clone(),
        fenced: false,
        fresh: Vec::new(),
        ahead: Vec::new(),
        task,
    };
    // What is under way when the time is over may be committed or not: the lane will tell.
    let deadline = group.task.deadline;
    let failure = tokio::time::timeout_at(deadline, group.run())
        .await
        .unwrap_or_else(|_| Err(too_late()))
        .err();
    let Group {
        mut task,
        settled,
        mut again,
        lanes_known,
        fenced,
        mut fresh,
        ahead,
        ..
    } = group;
    if failure.is_none() {
        // What was looked up for readings that are put off, or that were there, is as good as before.
        let written: HashSet<_> = fresh.iter().map(|(sensor, _)| sensor.clone()).collect();
        let rest = task.known.into_iter();
        let rest = rest.filter(|(sensor, _)| !written.contains(sensor));
        fresh.extend(rest.map(|(sensor, known)| (sensor, known.without_others())));
    }
    // What is neither settled nor put off has failed.
    task.readings.append(&mut again);
    task.author.lane = lanes_known;
    let unchanged = settled
        .iter()
        .filter(|(_, settled)| *settled == Settled::Stored(Disposition::Unchanged))
        .count();
    Done {
        author: task.author,
        mostly_stored: unchanged * 2 > settled.len(),
        settled,
        again: task.readings,
        known: fresh,
        ahead,
        sensors: sensors.into_iter().collect(),
        fenced,
        took: started.elapsed(),
        failure,
    }
}

struct Group {
    task: Task,
    stored: HashMap<Key, StoredReading>,
    settled: Vec<(Pending, Settled)>,
    again: Vec<Pending>,
    /// The lane as far as it is known to have come.
    lanes_known: Lane,
    fenced: bool,
    fresh: Vec<(SensorId, KnownSensor)>,
    ahead: Vec<(SensorId, KnownSensor)>,
}

impl Group {
    async fn run(&mut self) -> Result<(), StoreError> {
        self.look_up_sensors().await?;
        if self.task.look_first {
            self.look_up_readings().await?;
        }
        let mut backoff = Backoff::new();
        let mut attempts = 0u32;
        loop {
            if self.task.readings.is_empty() {
                return Ok(());
            }
            self.look_up_sensors().await?;
            // Each attempt has a mark of its own, which is part of what is planned.
            self.task.author.mark = random_name()?;
            let of_readings = self.task.readings.iter().map(|it| (&it.sensor, it.point));
            let (dispositions, changes) = changes(of_readings, &self.stored);
            let planned = plan(
                &self.task.tables.names,
                &self.task.author,
                &changes,
                &self.task.known,
            )?;
            let mut transaction = match planned {
                Plan::Nothing => {
                    self.settle(&dispositions);
                    return Ok(());
                }
                Plan::NeedCells(sensors) => {
                    for sensor in sensors {
                        let aggregates = sensor_aggregates(&self.task.tables, &sensor).await?;
                        let known =
                            KnownSensor::from_aggregates(aggregates, &self.task.author.slot);
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
                    // A reading alone always fits, unless there are more slots than there can be replicas.
                    if rest.is_empty() {
                        return Err(internal("a transaction"));
                    }
                    // They were found as they would be with all of the readings.
                    for known in self.task.known.values_mut() {
                        known.extremes = None;
                    }
                    self.again.splice(0..0, rest);
                    continue;
                }
                Plan::Send(transaction) => transaction,
            };
            let Task {
                tables,
                standing,
                author,
                known,
                deadline,
                ..
            } = &self.task;
            // The same plan once more: rarer than it would be to copy every transaction before it is sent.
            let again = || match plan(&tables.names, author, &changes, known)? {
                Plan::Send(transaction) => Ok(transaction.items),
                _ => Err(internal("a transaction")),
            };
            match send(tables, standing, author, &mut transaction, again, *deadline).await {
                Sent::Committed => {
                    self.lanes_known = transaction.lane;
                    self.fresh = transaction.cells;
                    self.settle(&dispositions);
                    return Ok(());
                }
                Sent::Outdated(subjects) => {
                    attempts += 1;
                    debug!(attempts, outdated = subjects.len(), "planned anew");
                    self.learn(subjects)?;
                    // The first time it is only our picture that was old; after that others write to the same.
                    if attempts > 1 && !backoff.pause(self.task.deadline).await {
                        return Err(contended());
                    }
                }
                Sent::Overtaken(lane) => {
                    // The readings of the attempt given up are stored; what we know of its sensors is old.
                    self.task.author.lane = lane.clone();
                    self.lanes_known = lane;
                    self.task.known.clear();
                    self.look_up_readings().await?;
                }
                Sent::Fenced => {
                    self.fenced = true;
                    return Err(StoreError::new(
                        StoreErrorKind::Unavailable,
                        "another replica has taken over, or a recount is running",
                    ));
                }
                Sent::Unknown(error) | Sent::Refused(error) => return Err(error),
            }
        }
    }

    fn settle(&mut self, dispositions: &[Disposition]) {
        let readings = std::mem::take(&mut self.task.readings);
        let settled = dispositions.iter().map(|it| Settled::Stored(*it));
        self.settled.extend(readings.into_iter().zip(settled));
    }

    /// Takes note of what was there instead of what was thought.
    fn learn(&mut self, subjects: Vec<(Subject, Option<Item>)>) -> Result<(), StoreError> {
        for (subject, item) in subjects {
            match (subject, item) {
                (Subject::Reading(key), Some(item)) => {
                    let stored = StoredReading::from_item(&item)
                        .ok_or_else(|| damaged("a stored reading"))?;
                    self.stored.insert(key, stored);
                }
                (Subject::Reading(key), None) => {
                    self.stored.remove(&key);
                }
                (Subject::Sensor(sensor), _) => {
                    self.task.known.remove(&sensor);
                }
                (Subject::Lane, _) => {}
            }
        }
        // What replacements were planned on was read together; it is read together again.
        for known in self.task.known.values_mut() {
            known.others = None;
            known.extremes = None;
        }
        Ok(())
    }

    /// Looks up the sensors that nothing is known of, and refuses those that would be too many.
    async fn look_up_sensors(&mut self) -> Result<(), StoreError> {
        let sensors: BTreeSet<_> = self.task.readings.iter().map(|it| &it.sensor).collect();
        let sensors: Vec<SensorId> = sensors.into_iter().cloned().collect();
        let known = &self.task.known;
        let unknown = sensors.iter().filter(|it| !known.contains_key(*it));
        let unknown: Vec<SensorId> = unknown.cloned().collect();
        if !unknown.is_empty() {
            let ahead = std::mem::take(&mut self.task.ahead);
            self.look_up(unknown, ahead).await?;
        }
        let mut new = self.new_among(sensors);
        if new.is_empty() {
            return Ok(());
        }
        let room = self
            .task
            .census
            .room(&self.task.tables, self.task.sensors_max)
            .await?;
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        if new.len() > room {
            // They may have been looked up a while ago; nobody is refused for that.
            self.look_up(new.clone(), Vec::new()).await?;
            new = self.new_among(new);
            let refused = new.split_off(new.len().min(room));
            self.refuse(&refused);
        }
        Ok(())
    }

    /// Looks up some sensors of the group, and others for later groups.
    async fn look_up(
        &mut self,
        sensors: Vec<SensorId>,
        ahead: Vec<SensorId>,
    ) -> Result<(), StoreError> {
        let all: Vec<SensorId> = sensors.iter().chain(&ahead).cloned().collect();
        let mut found = own_cells(&self.task.tables, &self.task.author.slot, &all).await?;
        for sensor in sensors {
            let known = found.remove(&sensor).unwrap_or_default();
            self.task.known.insert(sensor, known);
        }
        for sensor in ahead {
            let known = found.remove(&sensor).unwrap_or_default();
            self.ahead.push((sensor, known));
        }
        Ok(())
    }

    /// Those of the sensors that have no reading yet.
    fn new_among(&self, mut sensors: Vec<SensorId>) -> Vec<SensorId> {
        let known = &self.task.known;
        sensors.retain(|it| known.get(it).is_none_or(|known| known.guard.is_none()));
        sensors
    }

    /// Settles the readings of sensors that there is no room for, and what has to share their fate.
    fn refuse(&mut self, refused: &[SensorId]) {
        let readings = std::mem::take(&mut self.task.readings);
        let whole: BTreeSet<u64> = readings
            .iter()
            .filter(|it| it.all_or_nothing && refused.contains(&it.sensor))
            .map(|it| it.submission)
            .collect();
        for reading in readings {
            if refused.contains(&reading.sensor) || whole.contains(&reading.submission) {
                self.settled.push((reading, Settled::NoRoom));
            } else {
                self.task.readings.push(reading);
            }
        }
    }

    /// Looks up which of the readings are stored.
    async fn look_up_readings(&mut self) -> Result<(), StoreError> {
        let keys = self.task.readings.iter();
        let keys = keys.map(|it| (it.sensor.clone(), it.point.timestamp));
        let found = stored_readings(&self.task.tables, keys).await?;
        self.stored.extend(found);
        Ok(())
    }

    /// Finds the lowest and the highest of a sensor's readings as they will be.
    async fn find_extremes(
        &mut self,
        sensor: &SensorId,
        changes: &Changes,
    ) -> Result<(), StoreError> {
        let Some(of_sensor) = changes.get(sensor) else {
            return Ok(());
        };
        let extremes = extremes(&self.task.tables, sensor, of_sensor).await?;
        if let Some(known) = self.task.known.get_mut(sensor) {
            known.extremes = Some(extremes);
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
