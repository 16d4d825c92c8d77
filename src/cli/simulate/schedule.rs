//! Which reading is sent when: in time, late, twice, or corrected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tokio::sync::mpsc;

use super::fleet::Fleet;
use super::waiting::{FollowUp, Kind, Sending, Waiting, What};
use crate::random::SplitMix64;
use crate::readings::Timestamp;

/// How often readings do not simply arrive, in percent of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    pub(super) late: f64,
    pub(super) repeated: f64,
    pub(super) corrected: f64,
}

/// What the schedule and the connections share.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) waiting: Waiting,
    /// Sendings that are not acknowledged yet. One that is acknowledged puts what follows into `waiting` first.
    pub(super) under_way: AtomicU64,
    /// Sendings that came after a later reading of the same sensor.
    pub(super) late: AtomicU64,
    /// Set to end the schedule early.
    pub(super) stop: AtomicBool,
}

/// Hands readings to connections as their time comes.
pub(super) struct Schedule {
    fleet: Arc<Fleet>,
    traffic: Arc<Traffic>,
    habits: Habits,
    random: SplitMix64,
    queues: Vec<mpsc::Sender<Sending>>,
    /// The latest moment that was sent, by sensor.
    newest: Vec<Option<Timestamp>>,
}

/// How often the schedule looks at the clock.
const TICK: Duration = Duration::from_millis(2);
/// How long the last readings may take that were due in time. A server that is too slow for the rest does not get it.
const GRACE: Duration = Duration::from_millis(250);
/// After so many readings in a row it looks whether something else is due.
const BURST: u64 = 256;

impl Schedule {
    pub(super) fn new(
        fleet: Arc<Fleet>,
        traffic: Arc<Traffic>,
        habits: Habits,
        seed: u64,
        queues: Vec<mpsc::Sender<Sending>>,
    ) -> Self {
        Self {
            newest: vec![None; fleet.len()],
            fleet,
            traffic,
            habits,
            random: SplitMix64::new(seed),
            queues,
        }
    }

    /// Runs for so long, or until `readings` were made; then sends what is held back, and ends when everything is
    /// acknowledged.
    ///
    /// # Errors
    /// A connection has given up.
    pub(super) async fn run(
        mut self,
        duration: Duration,
        readings_per_second: u64,
        readings: u64,
    ) -> Result<()> {
        let started = Instant::now();
        let mut number = 0;
        while !self.traffic.stop.load(Ordering::Relaxed) {
            let elapsed = started.elapsed();
            if number >= readings || elapsed >= duration + GRACE {
                break;
            }
            let due = elapsed.as_micros() * u128::from(readings_per_second) / 1_000_000;
            let due = u64::try_from(due)
                .unwrap_or(u64::MAX)
                .saturating_add(1)
                .min(readings);
            let burst_end = due.min(number + BURST);
            while number < burst_end {
                self.send_new(number).await?;
                number += 1;
            }
            while let Some(what) = self.traffic.waiting.pop(Instant::now()) {
                self.send_waiting(what, true).await?;
            }
            if number >= due {
                tokio::time::sleep(TICK).await;
            }
        }
        self.finish().await
    }

    async fn finish(&mut self) -> Result<()> {
        loop {
            // In this order: what is acknowledged in between has already put what follows into `waiting`.
            let idle = self.traffic.under_way.load(Ordering::SeqCst) == 0;
            let mut found = false;
            while let Some(what) = self.traffic.waiting.pop_any() {
                found = true;
                self.send_waiting(what, false).await?;
            }
            if idle && !found {
                return Ok(());
            }
            // What was in its queue will never be acknowledged.
            if self.queues.iter().any(mpsc::Sender::is_closed) {
                return Err(given_up());
            }
            tokio::time::sleep(TICK).await;
        }
    }

    async fn send_new(&mut self, number: u64) -> Result<()> {
        let Some((sensor, point)) = self.fleet.reading(number, &mut self.random) else {
            return Err(anyhow!("the simulation would run past the year 9999"));
        };
        let mut sending = Sending {
            sensor,
            point,
            kind: Kind::New,
            then: None,
        };
        let repeated = self.random.chance(self.habits.repeated);
        let twins = repeated && self.random.chance(50.0);
        if !twins {
            if repeated {
                sending.then = Some((FollowUp::Repeat, self.soon()));
            } else if self.random.chance(self.habits.corrected) {
                sending.then = Some((FollowUp::Correct, self.soon()));
            }
        }
        if self.random.chance(self.habits.late) {
            let intervals = self.random.between(1.5, 8.0);
            let after = Duration::from_secs_f64(intervals * self.fleet.interval_seconds());
            let at = Instant::now().checked_add(after);
            if let Some(at) = at {
                self.traffic.waiting.push(at, What::Send(sending));
                return Ok(());
            }
        }
        self.send(sending).await?;
        if twins {
            // At once, on any connection: both are under way at the same time.
            sending.kind = Kind::Repeated;
            self.send(sending).await?;
        }
        Ok(())
    }

    /// `again` says whether more may follow what is sent now.
    async fn send_waiting(&mut self, what: What, again: bool) -> Result<()> {
        let sending = match what {
            What::Send(sending) => sending,
            What::Follow(FollowUp::Repeat, sensor, point) => Sending {
                sensor,
                point,
                kind: Kind::Repeated,
                then: None,
            },
            What::Follow(FollowUp::Correct, sensor, mut point) => {
                point.temperature = self.fleet.corrected(point.temperature, &mut self.random);
                Sending {
                    sensor,
                    point,
                    kind: Kind::Corrected,
                    then: match self.random.below(4) {
                        0 if again => Some((FollowUp::Repeat, self.soon())),
                        1 if again => Some((FollowUp::Correct, self.soon())),
                        _ => None,
                    },
                }
            }
        };
        self.send(sending).await
    }

    async fn send(&mut self, sending: Sending) -> Result<()> {
        let queues = self.queues.len();
        // A device keeps to its connection, until it comes back about something.
        let queue = if sending.kind == Kind::New {
            sending.sensor as usize % queues
        } else {
            self.random.below(u32::try_from(queues)?) as usize
        };
        let newest = &mut self.newest[sending.sensor as usize];
        if sending.kind == Kind::New {
            if newest.is_some_and(|newest| newest > sending.point.timestamp) {
                self.traffic.late.fetch_add(1, Ordering::Relaxed);
            } else {
                *newest = Some(sending.point.timestamp);
            }
        }
        self.traffic.under_way.fetch_add(1, Ordering::SeqCst);
        self.queues[queue]
            .send(sending)
            .await
            .map_err(|_| given_up())
    }

    /// When a device comes back about a reading.
    fn soon(&mut self) -> Duration {
        Duration::from_secs_f64(self.random.between(0.0, 1.0))
    }
}

fn given_up() -> anyhow::Error {
    anyhow!("a connection has given up")
}

#[cfg(test)]
mod tests {
    use hashbrown::HashMap;

    use super::*;
    use crate::readings::Temperature;

    /// Acknowledges everything at once, and keeps what came.
    async fn run(habits: Habits) -> (Vec<Sending>, Arc<Traffic>) {
        let start = "2026-11-20T13:00:00Z".parse().unwrap();
        let fleet = Arc::new(Fleet::new("p-", 10, 5000, start, 1).unwrap());
        let traffic = Arc::new(Traffic::default());
        let (queue, mut sendings) = mpsc::channel(100);
        let queues = vec![queue.clone(), queue];
        let schedule = Schedule::new(fleet, Arc::clone(&traffic), habits, 1, queues);
        let run = schedule.run(Duration::from_millis(400), 5000, 1000);
        let collect = async {
            let mut all = Vec::new();
            while let Some(sending) = sendings.recv().await {
                all.push(sending);
                if let Some((follow_up, after)) = sending.then {
                    traffic
                        .waiting
                        .follow(follow_up, after, sending.sensor, sending.point);
                }
                traffic.under_way.fetch_sub(1, Ordering::SeqCst);
            }
            all
        };
        let (result, all) = tokio::join!(run, collect);
        result.unwrap();
        (all, traffic)
    }

    #[tokio::test]
    async fn everything_that_was_begun_is_sent_and_in_an_order_that_does_not_matter() {
        let habits = Habits {
            late: 20.0,
            repeated: 20.0,
            corrected: 20.0,
        };
        let (all, traffic) = run(habits).await;
        let mut known: HashMap<(u32, Timestamp), Temperature> = HashMap::new();
        let mut counts = [0; 3];
        for sending in &all {
            let key = (sending.sensor, sending.point.timestamp);
            let before = known.insert(key, sending.point.temperature);
            match sending.kind {
                Kind::New => {
                    assert_eq!(before, None);
                    counts[0] += 1;
                }
                Kind::Repeated => {
                    assert_eq!(before, Some(sending.point.temperature));
                    counts[1] += 1;
                }
                Kind::Corrected => {
                    assert!(before.is_some());
                    assert_ne!(before, Some(sending.point.temperature));
                    counts[2] += 1;
                }
            }
        }
        assert_eq!(counts[0], 1000);
        assert!((150..260).contains(&counts[1]), "{counts:?}");
        assert!((100..260).contains(&counts[2]), "{counts:?}");
        assert!(traffic.late.load(Ordering::Relaxed) > 50);
        assert_eq!(traffic.under_way.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn without_habits_every_reading_is_sent_once_and_in_order() {
        let habits = Habits {
            late: 0.0,
            repeated: 0.0,
            corrected: 0.0,
        };
        let (all, traffic) = run(habits).await;
        assert_eq!(all.len(), 1000);
        assert!(all.iter().all(|sending| sending.kind == Kind::New));
        assert_eq!(traffic.late.load(Ordering::Relaxed), 0);
    }
}
