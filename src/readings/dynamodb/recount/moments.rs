//! Which moments of one sensor were met: the same moment may lie in the table twice, written in two ways.
//!
//! A sensor's readings come in order of their texts. A text that begins with a date (`2021-11-26…`) stands for a moment of that
//! day, or of the day before or after when it has an offset. So once the dates have gone on, earlier moments cannot come again, and
//! what has to be remembered is three days of readings. Texts that do not begin so are irregular: they are left to a second look.

use std::collections::{BTreeMap, HashMap};

use crate::readings::{Temperature, Timestamp};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// What is known of a moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// It was not there before.
    First,
    /// It was there before, with this text and temperature.
    Again(String, Temperature),
    /// The text says nothing about its place in the order.
    Irregular,
}

/// The moments of one sensor that may come again.
#[derive(Debug, Default)]
pub(super) struct Moments {
    /// By days since 1970, then by the moment.
    days: BTreeMap<i64, HashMap<i64, (Box<str>, Temperature)>>,
    /// The date that the latest text began with.
    date: Option<i64>,
}

impl Moments {
    /// Takes in a reading; texts come in order.
    pub(super) fn meet(
        &mut self,
        text: &str,
        timestamp: Timestamp,
        temperature: Temperature,
    ) -> Met {
        let Some(date) = date_of(text) else {
            return Met::Irregular;
        };
        if self.date != Some(date) {
            self.days = self.days.split_off(&(date - 1));
            self.date = Some(date);
        }
        let day = timestamp.micros().div_euclid(MICROS_PER_DAY);
        let known = self.days.entry(day).or_default();
        match known.get(&timestamp.micros()) {
            Some((text, temperature)) => Met::Again(text.to_string(), *temperature),
            None => {
                known.insert(timestamp.micros(), (text.into(), temperature));
                Met::First
            }
        }
    }
}

/// Whether a text begins with a date, so that it comes with the others of that day.
pub(super) fn is_regular(text: &str) -> bool {
    date_of(text).is_some()
}

/// The date that a text begins with, in days since 1970.
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
    fn a_text_without_a_date_in_front_is_irregular() {
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

    /// A spelling of a moment: its separator, its offset in quarters of an hour, whether it has an offset at all.
    fn spell(micros: i64, space: bool, quarters: i64, form: u8) -> String {
        let local = Timestamp::from_micros(micros + quarters * 900_000_000).unwrap();
        let mut text = keys::moment(local);
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
        fn a_moment_that_comes_again_is_found_however_it_is_written(
            written in prop::collection::vec((0..400_i64, any::<bool>(), -95..=95_i64, 0..3_u8), 1..60),
        ) {
            // Moments a few hours apart, over some weeks.
            let mut texts: Vec<_> = written
                .into_iter()
                .map(|(n, space, quarters, form)| {
                    let micros = 1_600_000_000_000_000 + n * 5_000_000_000;
                    (spell(micros, space, quarters, form), micros)
                })
                .collect();
            texts.sort();
            texts.dedup();
            let mut moments = Moments::default();
            let mut seen = std::collections::HashMap::new();
            for (text, micros) in texts {
                let timestamp: Timestamp = text.parse().unwrap();
                prop_assert_eq!(timestamp.micros(), micros);
                let met = moments.meet(&text, timestamp, degrees("1"));
                let expected = match seen.get(&micros) {
                    None => Met::First,
                    Some(first) => Met::Again(String::clone(first), degrees("1")),
                };
                prop_assert_eq!(met, expected);
                seen.entry(micros).or_insert(text);
                prop_assert!(moments.days.len() <= 4, "{:?}", moments.days.keys());
            }
        }
    }
}
