//! Watches the leases of other replicas, to find dead replicas. An owner renews the lease regularly. If a lease stays unchanged for
//! longer than the lease duration, the owner is dead. Only this replica's clock measures this time. The clocks of other replicas do
//! not matter.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use tokio::time::Instant;

use super::super::table::items::{Item, get_number, get_text, number, text};

/// A lease has to be unchanged for this many lease durations. An owner renews four times in each.
pub(crate) const LEASES_UNTIL_DEAD: f64 = 1.25;

/// The state of a lease that changes with every renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    pub(crate) owner: String,
    /// Zero when the lease was released; `None` in a condition that accepts any value.
    lease_until: Option<u64>,
    /// Replicas of older versions write no renewals.
    renewals: Option<u64>,
}

impl Heartbeat {
    pub(crate) fn from_item(item: &Item) -> Option<Self> {
        Some(Self {
            owner: get_text(item, "owner")?.to_owned(),
            lease_until: Some(get_number(item, "lease_until").unwrap_or(0)),
            renewals: get_number(item, "renewals"),
        })
    }

    /// Matches every renewal of an owner.
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

    /// The condition for an unchanged lease.
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

/// The leases as this replica has seen them.
#[derive(Debug, Default)]
pub(crate) struct LeaseWatch {
    seen: HashMap<String, Seen>,
    noted_at: Option<Instant>,
}

#[derive(Debug)]
struct Seen {
    heartbeat: Heartbeat,
    since: Instant,
    /// Whether a renewal was seen.
    is_alive: bool,
}

impl LeaseWatch {
    /// Takes the present state of all leases. After a long gap without a look the watch begins again, because renewals in the gap
    /// were not seen.
    pub(crate) fn observe(&mut self, leases: &[Item], lease_duration: Duration, now: Instant) {
        let mut before = std::mem::take(&mut self.seen);
        let noted_at = self.noted_at.replace(now);
        if noted_at.is_some_and(|at| now - at > lease_duration / 2) {
            before.values_mut().for_each(|seen| seen.since = now);
        }
        for item in leases {
            let (Some(name), Some(heartbeat)) =
                (get_text(item, "cell"), Heartbeat::from_item(item))
            else {
                continue;
            };
            let seen = match before.remove(name) {
                Some(seen) if seen.heartbeat == heartbeat => seen,
                known => Seen {
                    is_alive: known.is_some(),
                    heartbeat,
                    since: now,
                },
            };
            self.seen.insert(name.to_owned(), seen);
        }
    }

    /// Whether the owner of a lease is dead: the lease was seen unchanged for long enough.
    pub(crate) fn is_dead(&self, lease: &str, lease_duration: Duration, now: Instant) -> bool {
        let seen = self.seen.get(lease);
        seen.is_some_and(|seen| seen.is_dead(lease_duration, now))
    }

    /// The leases of dead owners.
    pub(crate) fn dead(&self, lease_duration: Duration, now: Instant) -> Vec<(String, Heartbeat)> {
        let dead = self
            .seen
            .iter()
            .filter(|(_, seen)| seen.is_dead(lease_duration, now));
        dead.map(|(name, seen)| (name.clone(), seen.heartbeat.clone()))
            .collect()
    }

    /// Whether each owned lease is known to have a live or a dead owner.
    pub(crate) fn knows_all(&self, lease_duration: Duration, now: Instant) -> bool {
        let mut owned = self
            .seen
            .values()
            .filter(|seen| !seen.heartbeat.is_released());
        owned.all(|seen| seen.is_alive || seen.is_dead(lease_duration, now))
    }
}

impl Seen {
    fn is_dead(&self, lease_duration: Duration, now: Instant) -> bool {
        !self.heartbeat.is_released()
            && now - self.since > lease_duration.mul_f64(LEASES_UNTIL_DEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn lease(name: &str, owner: &str, lease_until: u64, renewals: u64) -> Item {
        HashMap::from([
            ("cell".to_owned(), text(name)),
            ("owner".to_owned(), text(owner)),
            ("lease_until".to_owned(), number(lease_until)),
            ("renewals".to_owned(), number(renewals)),
        ])
    }

    #[test]
    fn an_owner_that_renews_is_alive_whatever_its_clock_says() {
        let begin = Instant::now();
        let mut watch = LeaseWatch::default();
        for seconds in 0..200 {
            let now = begin + Duration::from_secs(seconds);
            // The first owner renews with a stopped clock, the second renews with a lease time in the past, the third is dead with
            // a lease time far in the future.
            let leases = [
                lease("r000", "a", 1, seconds / 7),
                lease("r001", "b", seconds, 0),
                lease("r002", "c", u64::MAX, 3),
                lease("r003", "d", 0, 0),
            ];
            watch.observe(&leases, LEASE, now);
            let dead = |name| watch.is_dead(name, LEASE, now);
            assert!(!dead("r000") && !dead("r001") && !dead("r003"), "{seconds}");
            assert_eq!(dead("r002"), seconds > 37, "{seconds}");
            assert_eq!(watch.knows_all(LEASE, now), seconds > 37, "{seconds}");
        }
        let now = begin + Duration::from_secs(199);
        let dead: Vec<_> = watch.dead(LEASE, now).into_iter().map(|it| it.0).collect();
        assert_eq!(dead, ["r002"]);
        // Another replica took the lease.
        watch.observe(&[lease("r002", "e", u64::MAX, 3)], LEASE, now);
        assert!(!watch.is_dead("r002", LEASE, now));
    }

    #[test]
    fn no_owner_is_dead_because_of_a_gap_in_the_watch() {
        let begin = Instant::now();
        let mut watch = LeaseWatch::default();
        let leases = [lease("r000", "a", 1, 1)];
        watch.observe(&leases, LEASE, begin);
        // DynamoDB was unavailable for everybody.
        for seconds in (600..660).step_by(5) {
            let now = begin + Duration::from_secs(seconds);
            watch.observe(&leases, LEASE, now);
            assert_eq!(
                watch.is_dead("r000", LEASE, now),
                seconds > 637,
                "{seconds}"
            );
        }
    }
}
