//! Decides when each reading is sent: in time, late, twice, or corrected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tokio::sync::mpsc;

use super::due_queue::{Delivery, DueAction, DueQueue, FollowUp, Kind};
use super::fleet::Fleet;
use crate::random::SplitMix64;
use crate::readings::Timestamp;

/// The shares of readings that are late, repeated or corrected, in percent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Irregularities {
    pub(super) late: f64,
    pub(super) repeated: f64,
    pub(super) corrected: f64,
}

/// The state that the schedule and the connections share.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) due_queue: DueQueue,
    /// Deliveries without acknowledgement. An acknowledged delivery adds its follow-up to `due_queue` before this count falls.
    pub(super) in_flight: AtomicU64,
    /// Deliveries after a later reading of the same sensor.
    pub(super) late: AtomicU64,
    /// Set to end the schedule early.
    pub(super) stop: AtomicBool,
}

/// Hands each reading to a connection at its time.
pub(super) struct Schedule {
    fleet: Arc<Fleet>,
    traffic: Arc<Traffic>,
    irregularities: Irregularities,
    random: SplitMix64,
    queues: Vec<mpsc::Sender<Delivery>>,
    /// The latest timestamp sent, by sensor.
    newest: Vec<Option<Timestamp>>,
}

/// The pause between two looks at the clock.
const TICK: Duration = Duration::from_millis(2);
/// The time after the end for readings that were due before the end. The rest is not sent, because the server is too slow.
const GRACE: Duration = Duration::from_millis(250);
/// The most new readings in a row before the due queue is checked.
const BURST: u64 = 256;

impl Schedule {
    pub(super) fn new(
        fleet: Arc<Fleet>,
        traffic: Arc<Traffic>,
        irregularities: Irregularities,
        seed: u64,
        queues: Vec<mpsc::Sender<Delivery>>,
    ) -> Self {
        Self {
            newest: vec![None; fleet.len()],
            fleet,
            traffic,
            irregularities,
            random: SplitMix64::new(seed),
            queues,
        }
    }

    /// Runs for `duration`, or until `readings` readings were made. Then sends the delayed deliveries, and ends when all
    /// deliveries are acknowledged.
    ///
    /// # Errors
    /// A connection ended with an error.
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
                self.send_new_reading(number).await?;
                number += 1;
            }
            while let Some(action) = self.traffic.due_queue.pop(Instant::now()) {
                self.send_due(action, true).await?;
            }
            if number >= due {
                tokio::time::sleep(TICK).await;
            }
        }
        self.finish().await
    }

    async fn finish(&mut self) -> Result<()> {
        loop {
            // The count is read before the queue. A delivery acknowledged in between has already added its follow-up to the queue.
            let idle = self.traffic.in_flight.load(Ordering::SeqCst) == 0;
            let mut found = false;
            while let Some(action) = self.traffic.due_queue.pop_any() {
                found = true;
                self.send_due(action, false).await?;
            }
            if idle && !found {
                return Ok(());
            }
            // The deliveries in a closed queue are never acknowledged.
            if self.queues.iter().any(mpsc::Sender::is_closed) {
                return Err(connection_closed());
            }
            tokio::time::sleep(TICK).await;
        }
    }

    async fn send_new_reading(&mut self, number: u64) -> Result<()> {
        let Some((sensor, point)) = self.fleet.reading(number, &mut self.random) else {
            return Err(anyhow!("the simulation would run past the year 9999"));
        };
        let mut delivery = Delivery {
            sensor,
            point,
            kind: Kind::New,
            follow_up: None,
        };
        let repeated = self.random.chance(self.irregularities.repeated);
        let twins = repeated && self.random.chance(50.0);
        if !twins {
            if repeated {
                delivery.follow_up = Some((FollowUp::Repeat, self.follow_up_delay()));
            } else if self.random.chance(self.irregularities.corrected) {
                delivery.follow_up = Some((FollowUp::Correct, self.follow_up_delay()));
            }
        }
        if self.random.chance(self.irregularities.late) {
            let intervals = self.random.between(1.5, 8.0);
            let after = Duration::from_secs_f64(intervals * self.fleet.interval_seconds());
            let at = Instant::now().checked_add(after);
            if let Some(at) = at {
                self.traffic.due_queue.push(at, DueAction::Send(delivery));
                return Ok(());
            }
        }
        self.send(delivery).await?;
        if twins {
            // Sent at once on any connection, so that both are in flight at the same time.
            delivery.kind = Kind::Repeated;
            self.send(delivery).await?;
        }
        Ok(())
    }

    /// Sends the delivery of an action. With `again`, the delivery may have a follow-up.
    async fn send_due(&mut self, action: DueAction, again: bool) -> Result<()> {
        let delivery = match action {
            DueAction::Send(delivery) => delivery,
            DueAction::Follow(FollowUp::Repeat, sensor, point) => Delivery {
                sensor,
                point,
                kind: Kind::Repeated,
                follow_up: None,
            },
            DueAction::Follow(FollowUp::Correct, sensor, mut point) => {
                point.temperature = self.fleet.corrected(point.temperature, &mut self.random);
                Delivery {
                    sensor,
                    point,
                    kind: Kind::Corrected,
                    follow_up: match self.random.below(4) {
                        0 if again => Some((FollowUp::Repeat, self.follow_up_delay())),
                        1 if again => Some((FollowUp::Correct, self.follow_up_delay())),
                        _ => None,
                    },
                }
            }
        };
        self.send(delivery).await
    }

    async fn send(&mut self, delivery: Delivery) -> Result<()> {
        let queues = self.queues.len();
        // New readings of a device use one connection. Follow-ups use any connection.
        let queue = if delivery.kind == Kind::New {
            delivery.sensor as usize % queues
        } else {
            self.random.below(u32::try_from(queues)?) as usize
        };
        let newest = &mut self.newest[delivery.sensor as usize];
        if delivery.kind == Kind::New {
            if newest.is_some_and(|newest| newest > delivery.point.timestamp) {
                self.traffic.late.fetch_add(1, Ordering::Relaxed);
            } else {
                *newest = Some(delivery.point.timestamp);
            }
        }
        self.traffic.in_flight.fetch_add(1, Ordering::SeqCst);
        self.queues[queue]
            .send(delivery)
            .await
            .map_err(|_| connection_closed())
    }

    /// The delay before a follow-up.
    fn follow_up_delay(&mut self) -> Duration {
        Duration::from_secs_f64(self.random.between(0.0, 1.0))
    }
}

fn connection_closed() -> anyhow::Error {
    anyhow!("a connection to the server ended with an error")
}

#[cfg(test)]
mod tests {
    use hashbrown::HashMap;

    use super::*;
    use crate::readings::Temperature;

    /// Acknowledges every delivery at once, and returns all deliveries.
    async fn run(irregularities: Irregularities) -> (Vec<Delivery>, Arc<Traffic>) {
        let start = "2026-11-20T13:00:00Z".parse().unwrap();
        let fleet = Arc::new(Fleet::new("p-", 10, 5000, start, 1).unwrap());
        let traffic = Arc::new(Traffic::default());
        let (queue, mut deliveries) = mpsc::channel(100);
        let queues = vec![queue.clone(), queue];
        let schedule = Schedule::new(fleet, Arc::clone(&traffic), irregularities, 1, queues);
        let run = schedule.run(Duration::from_millis(400), 5000, 1000);
        let collect = async {
            let mut all = Vec::new();
            while let Some(delivery) = deliveries.recv().await {
                all.push(delivery);
                if let Some((follow_up, after)) = delivery.follow_up {
                    traffic
                        .due_queue
                        .follow(follow_up, after, delivery.sensor, delivery.point);
                }
                traffic.in_flight.fetch_sub(1, Ordering::SeqCst);
            }
            all
        };
        let (result, all) = tokio::join!(run, collect);
        result.unwrap();
        (all, traffic)
    }

    #[tokio::test]
    async fn everything_that_was_begun_is_sent_and_in_an_order_that_does_not_matter() {
        let irregularities = Irregularities {
            late: 20.0,
            repeated: 20.0,
            corrected: 20.0,
        };
        let (all, traffic) = run(irregularities).await;
        let mut known: HashMap<(u32, Timestamp), Temperature> = HashMap::new();
        let mut counts = [0; 3];
        for delivery in &all {
            let key = (delivery.sensor, delivery.point.timestamp);
            let before = known.insert(key, delivery.point.temperature);
            match delivery.kind {
                Kind::New => {
                    assert_eq!(before, None);
                    counts[0] += 1;
                }
                Kind::Repeated => {
                    assert_eq!(before, Some(delivery.point.temperature));
                    counts[1] += 1;
                }
                Kind::Corrected => {
                    assert!(before.is_some());
                    assert_ne!(before, Some(delivery.point.temperature));
                    counts[2] += 1;
                }
            }
        }
        assert_eq!(counts[0], 1000);
        assert!((150..260).contains(&counts[1]), "{counts:?}");
        assert!((100..260).contains(&counts[2]), "{counts:?}");
        assert!(traffic.late.load(Ordering::Relaxed) > 50);
        assert_eq!(traffic.in_flight.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn without_habits_every_reading_is_sent_once_and_in_order() {
        let irregularities = Irregularities {
            late: 0.0,
            repeated: 0.0,
            corrected: 0.0,
        };
        let (all, traffic) = run(irregularities).await;
        assert_eq!(all.len(), 1000);
        assert!(all.iter().all(|delivery| delivery.kind == Kind::New));
        assert_eq!(traffic.late.load(Ordering::Relaxed), 0);
    }
}
