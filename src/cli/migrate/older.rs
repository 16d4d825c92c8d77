//! A table of an older program as a source: read once, put in order, and what cannot be taken named.

use std::collections::{BTreeMap, BTreeSet};

use indicatif::{HumanCount, ProgressBar};

use super::sorted::{Double, Sorted, Sorter};
use super::source::disk;
use crate::error::StoreError;
use crate::readings::Point;
use crate::readings::dynamodb::{OlderLayout, OlderTable};

/// How much is named.
const NAMED_MAX: usize = 100;
/// How many names of attributes are kept.
const ATTRIBUTES_MAX: usize = 50;

/// What there was to read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    items: u64,
    /// Items whose moment another one has, too, with the same temperature.
    repeated: u64,
    not_taken: Named,
    other_attributes: BTreeMap<String, u64>,
}

/// How much there is of something, and the first of it in order.
#[derive(Debug, Default)]
struct Named {
    count: u64,
    first: BTreeSet<String>,
}

impl Named {
    fn add(&mut self, what: String) {
        self.count += 1;
        self.first.insert(what);
        if self.first.len() > NAMED_MAX {
            self.first.pop_last();
        }
    }
}

/// Reads the whole table, and puts its readings in order.
pub(super) async fn read(
    table: &OlderTable,
    bar: &ProgressBar,
) -> Result<(Sorted, Reading), StoreError> {
    let mut sorter = Sorter::new();
    let mut reading = Reading::default();
    table
        .read(|page| {
            let items = page.readings.len() + page.not_taken.len();
            reading.items += items as u64;
            bar.inc(items as u64);
            for it in page.readings {
                let point = Point {
                    timestamp: it.timestamp,
                    temperature: it.temperature,
                };
                sorter.push(&it.sensor, point, &it.text).map_err(disk)?;
            }
            for it in page.not_taken {
                reading.not_taken.add(format!("{} {}", it.key, it.why));
            }
            for (name, count) in page.other_attributes {
                let known = &mut reading.other_attributes;
                if known.len() < ATTRIBUTES_MAX || known.contains_key(&name) {
                    *known.entry(name).or_default() += count;
                }
            }
            Ok(())
        })
        .await?;
    let sorted = sorter.finish(|double| reading.meet(&double));
    Ok((sorted.map_err(disk)?, reading))
}

impl Reading {
    fn meet(&mut self, double: &Double) {
        if double.temperature == double.kept_temperature {
            self.repeated += 1;
            return;
        }
        let Double {
            sensor,
            kept,
            kept_temperature,
            text,
            temperature,
        } = double;
        self.not_taken.add(format!(
            "`{sensor}` at `{text}` has the temperature {temperature}, but the same moment is there as `{kept}` with \
             {kept_temperature}, which is taken"
        ));
    }

    /// How many items are not taken.
    pub(super) fn not_taken(&self) -> u64 {
        self.not_taken.count
    }

    /// What there is to say of it.
    pub(super) fn as_text(&self, table: &OlderTable, sorted: &Sorted) -> String {
        let layout = match table.layout() {
            OlderLayout::BySensor => "sensor_id, timestamp",
            OlderLayout::ByTime => "time",
        };
        let mut text = format!(
            "Read {} (key: {layout})\n  items      {}\n  readings   {}\n  repeated   {}\n  not taken  {}\n",
            table.name(),
            HumanCount(self.items),
            HumanCount(sorted.stats().count()),
            HumanCount(self.repeated),
            HumanCount(self.not_taken.count),
        );
        for what in &self.not_taken.first {
            text += &format!("  NOT TAKEN: {what}\n");
        }
        if self.not_taken.count > NAMED_MAX as u64 {
            text += &format!(
                "  and {} more that are not named\n",
                HumanCount(self.not_taken.count - NAMED_MAX as u64)
            );
        }
        for (name, count) in &self.other_attributes {
            let name = name.escape_debug();
            text += &format!("  left there: `{name}` of {} items\n", HumanCount(*count));
        }
        text
    }
}
