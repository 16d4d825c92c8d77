//! The timestamps seen for a sensor. Two items may have the same timestamp in two spellings.
//!
//! A sensor's items come in order of the strings of their timestamps. A string that begins with a date (`2021-11-26…`) means a
//! timestamp of this day; with an offset, also of the day before or after. So once the dates have advanced, earlier timestamps
//! cannot come again, and three days of readings are enough to remember. Strings without a date at the beginning are irregular,
//! and need a second read.

use std::collections::{BTreeMap, HashMap};

use crate::readings::{Temperature, Timestamp};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Whether a timestamp was seen before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Occurrence {
    /// The timestamp is new.
    First,
    /// The timestamp was seen, with this spelling and temperature.
    Again(String, Temperature),
    /// The position of the string in the order says nothing about the timestamp.
    Irregular,
}

/// The timestamps of a sensor that may come again.
#[derive(Debug, Default)]
pub(super) struct SeenTimestamps {
    /// By days since 1970, then by the timestamp in microseconds.
    days: BTreeMap<i64, HashMap<i64, (Box<str>, Temperature)>>,
    /// The date of the last string.
    date: Option<i64>,
}

impl SeenTimestamps {
    /// Takes a reading. Strings come in order.
    pub(super) fn record(
        &mut self,
        text: &str,
        timestamp: Timestamp,
        temperature: Temperature,
    ) -> Occurrence {
        let Some(date) = date_of(text) else {
            return Occurrence::Irregular;
        };
        if self.date != Some(date) {
            self.days = self.days.split_off(&(date - 1));
            self.date = Some(date);
        }
        let day = timestamp.micros().div_euclid(MICROS_PER_DAY);
        let known = self.days.entry(day).or_default();
        match known.get(&timestamp.micros()) {
            Some((text, temperature)) => Occurrence::Again(text.to_string(), *temperature),
            None => {
                known.insert(timestamp.micros(), (text.into(), temperature));
                Occurrence::First
            }
        }
    }
}

/// Whether a string begins with a date, and so comes with the other strings of the same day.
pub(super) fn is_regular(text: &str) -> bool {
    date_of(text).is_some()
}

/// The date at the beginning of a string, in days since 1970.
fn date_of(text: &str) -> Option<i64> {
    let date = text.get(..10)?;
    let midnight: Timestamp = format!("{date}T00:00:00Z").parse().ok()?;
    Some(midnight.micros().div_euclid(MICROS_PER_DAY))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::readings::dynamodb::table::keys;

    fn degrees(text: &str) -> Temperature {
        text.parse().unwrap()
    }

    #[test]
    fn a_string_without_a_date_in_front_is_irregular() {
        for text in [
            "20211126T181500",
            "2012-1-5 9:05:00",
            "x",
            "2021-13-01T00:00:00",
        ] {
            assert!(!is_regular(text), "{text}");
        }
        assert!(is_regular("2021-11-26 18:10:00+00:00"));
    }

    /// Spells a timestamp with a separator, an offset in quarters of an hour, and a form of the offset.
    fn spell(micros: i64, space: bool, quarters: i64, form: u8) -> String {
        let local = Timestamp::from_micros(micros + quarters * 900_000_000).unwrap();
        let mut text = keys::timestamp(local);
        if space {
            text = text.replace('T', " ");
        }
        let (sign, size) = (if quarters < 0 { '-' } else { '+' }, quarters.abs());
        match form {
            0 if quarters == 0 => {}
            1 if quarters == 0 => text.push('Z'),
            _ => text += &format!("{sign}{:02}:{:02}", size / 4, size % 4 * 15),
        }
        text
    }

    proptest! {
        #[test]
        fn a_repeated_timestamp_is_found_in_every_spelling(
            written in prop::collection::vec((0..400_i64, any::<bool>(), -95..=95_i64, 0..3_u8), 1..60),
        ) {
            // Timestamps a few hours apart, over some weeks.
            let mut texts: Vec<_> = written
                .into_iter()
                .map(|(n, space, quarters, form)| {
                    let micros = 1_600_000_000_000_000 + n * 5_000_000_000;
                    (spell(micros, space, quarters, form), micros)
                })
                .collect();
            texts.sort();
            texts.dedup();
            let mut seen_timestamps = SeenTimestamps::default();
            let mut seen = std::collections::HashMap::new();
            for (text, micros) in texts {
                let timestamp: Timestamp = text.parse().unwrap();
                prop_assert_eq!(timestamp.micros(), micros);
                let occurrence = seen_timestamps.record(&text, timestamp, degrees("1"));
                let expected = match seen.get(&micros) {
                    None => Occurrence::First,
                    Some(first) => Occurrence::Again(String::clone(first), degrees("1")),
                };
                prop_assert_eq!(occurrence, expected);
                seen.entry(micros).or_insert(text);
                prop_assert!(seen_timestamps.days.len() <= 4, "{:?}", seen_timestamps.days.keys());
            }
        }
    }
}
