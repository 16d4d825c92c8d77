//! Who of the other replicas is alive, by watching their slots: an owner renews its slot again and again, and one that was seen
//! unchanged for longer than a lease is dead. Time is measured here, from what was seen here: what the clocks of replicas say is
//! compared with nothing.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use tokio::time::Instant;

use super::super::table::items::{Item, get_number, get_text, number, text};

/// For how many leases a slot has to be unchanged. An owner renews four times a lease.
pub(crate) const LEASES_UNTIL_DEAD: f64 = 1.25;

/// A slot's sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beat {
    pub(crate) owner: String,
    /// Zero when it was let go of; none where it does not matter.
    lease_until: Option<u64>,
    /// Replicas of older versions write none.
    renewals: Option<u64>,
}

impl Beat {
    pub(crate) fn from_item(item: &Item) -> Option<Self> {
        Some(Self {
            owner: get_text(item, "owner")?.to_owned(),
            lease_until: Some(get_number(item, "lease_until").unwrap_or(0)),
            renewals: get_number(item, "renewals"),
        })
    }

    /// Any of an owner's.
    pub(crate) fn ours(owner: &str) -> Self {
        Self {
            owner: owner.to_owned(),
            lease_until: None,
            renewals: None,
        }
    }

    pub(crate) fn is_released(&self) -> bool {
        self.lease_until == Some(0)
    }

    /// The condition that a slot is still so.
    pub(crate) const fn condition(&self) -> &'static str {
        match (self.lease_until, self.renewals) {
            (None, _) => "#o = :owner",
            (Some(_), None) => {
                "#o = :owner AND lease_until = :until AND attribute_not_exists(renewals)"
            }
            (Some(_), Some(_)) => "#o = :owner AND lease_until = :until AND renewals = :renewals",
        }
    }

    pub(crate) fn names(&self) -> HashMap<String, String> {
        HashMap::from([("#o".to_owned(), "owner".to_owned())])
    }

    pub(crate) fn values(&self) -> HashMap<String, AttributeValue> {
        let mut values = HashMap::from([(":owner".to_owned(), text(&self.owner))]);
        if let Some(until) = self.lease_until {
            values.insert(":until".to_owned(), number(until));
            if let Some(renewals) = self.renewals {
                values.insert(":renewals".to_owned(), number(renewals));
            }
        }
        values
    }
}

/// The slots as they were seen.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: HashMap<String, Seen>,
    noted_at: Option<Instant>,
}

#[derive(Debug)]
struct Seen {
    beat: Beat,
    since: Instant,
    /// Whether it was seen to change.
    is_alive: bool,
}

impl Watch {
    /// Takes in how all slots are now. Whoever did not look for a while has not watched: what was seen before tells nothing then.
    pub(crate) fn note(&mut self, slots: &[Item], lease: Duration, now: Instant) {
        let mut before = std::mem::take(&mut self.seen);
        let noted_at = self.noted_at.replace(now);
        if noted_at.is_some_and(|at| now - at > lease / 2) {
            before.values_mut().for_each(|seen| seen.since = now);
        }
        for item in slots {
            let (Some(name), Some(beat)) = (get_text(item, "cell"), Beat::from_item(item)) else {
                continue;
            };
            let seen = match before.remove(name) {
                Some(seen) if seen.beat == beat => seen,
                known => Seen {
                    is_alive: known.is_some(),
                    beat,
                    since: now,
                },
            };
            self.seen.insert(name.to_owned(), seen);
        }
    }

    /// Whether a slot was seen unchanged for so long that its owner is dead.
    pub(crate) fn is_dead(&self, slot: &str, lease: Duration, now: Instant) -> bool {
        let seen = self.seen.get(slot);
        seen.is_some_and(|seen| seen.is_dead(lease, now))
    }

    /// The slots whose owners are dead.
    pub(crate) fn dead(&self, lease: Duration, now: Instant) -> Vec<(String, Beat)> {
        let dead = self
            .seen
            .iter()
            .filter(|(_, seen)| seen.is_dead(lease, now));
        dead.map(|(name, seen)| (name.clone(), seen.beat.clone()))
            .collect()
    }

    /// Whether it is known of each slot that has an owner whether that one is alive.
    pub(crate) fn knows_all(&self, lease: Duration, now: Instant) -> bool {
        let mut owned = self.seen.values().filter(|seen| !seen.beat.is_released());
        owned.all(|seen| seen.is_alive || seen.is_dead(lease, now))
    }
}

impl Seen {
    fn is_dead(&self, lease: Duration, now: Instant) -> bool {
        !self.beat.is_released() && now - self.since > lease.mul_f64(LEASES_UNTIL_DEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn slot(name: &str, owner: &str, lease_until: u64, renewals: u64) -> Item {
        HashMap::from([
            ("cell".to_owned(), text(name)),
            ("owner".to_owned(), text(owner)),
            ("lease_until".to_owned(), number(lease_until)),
            ("renewals".to_owned(), number(renewals)),
        ])
    }

    #[test]
    fn whoever_shows_signs_of_life_lives_whatever_its_clock_says() {
        let begin = Instant::now();
        let mut watch = Watch::default();
        for seconds in 0..200 {
            let now = begin + Duration::from_secs(seconds);
            // One renews and has a clock that stands still, one renews and its lease is long over, one is dead and leased for years.
            let slots = [
                slot("r000", "a", 1, seconds / 7),
                slot("r001", "b", seconds, 0),
                slot("r002", "c", u64::MAX, 3),
                slot("r003", "d", 0, 0),
            ];
            watch.note(&slots, LEASE, now);
            let dead = |name| watch.is_dead(name, LEASE, now);
            assert!(!dead("r000") && !dead("r001") && !dead("r003"), "{seconds}");
            assert_eq!(dead("r002"), seconds > 37, "{seconds}");
            assert_eq!(watch.knows_all(LEASE, now), seconds > 37, "{seconds}");
        }
        let now = begin + Duration::from_secs(199);
        let dead: Vec<_> = watch.dead(LEASE, now).into_iter().map(|it| it.0).collect();
        assert_eq!(dead, ["r002"]);
        // Somebody took it.
        watch.note(&[slot("r002", "e", u64::MAX, 3)], LEASE, now);
        assert!(!watch.is_dead("r002", LEASE, now));
    }

    #[test]
    fn nobody_is_dead_because_nobody_looked() {
        let begin = Instant::now();
        let mut watch = Watch::default();
        let slots = [slot("r000", "a", 1, 1)];
        watch.note(&slots, LEASE, begin);
        // DynamoDB was away for all.
        for seconds in (600..660).step_by(5) {
            let now = begin + Duration::from_secs(seconds);
            watch.note(&slots, LEASE, now);
            assert_eq!(
                watch.is_dead("r000", LEASE, now),
                seconds > 637,
                "{seconds}"
            );
        }
    }
}
