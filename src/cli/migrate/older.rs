//! Reads the table of an older program, sorts the readings, and names the items that cannot be copied.

use std::collections::{BTreeMap, BTreeSet};

use indicatif::{HumanCount, ProgressBar};

use super::sorted::{Duplicate, Sorted, Sorter};
use super::source::temporary_file_error;
use crate::error::StoreError;
use crate::readings::Point;
use crate::readings::dynamodb::{OlderLayout, OlderTable};

/// The limit for the number of named items.
const NAMED_MAX: usize = 100;
/// The limit for the number of counted attribute names.
const ATTRIBUTES_MAX: usize = 50;

/// The counts of a read table.
#[derive(Debug, Default)]
pub(super) struct Reading {
    items: u64,
    /// Items with the same sensor, timestamp and temperature as another item.
    repeated: u64,
    not_taken: Named,
    other_attributes: BTreeMap<String, u64>,
}

/// A number of items, and the first of them in order.
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

/// Reads the whole table, and sorts the readings.
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
                sorter
                    .push(&it.sensor, point, &it.text)
                    .map_err(temporary_file_error)?;
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
    let sorted = sorter.finish(|duplicate| reading.add_duplicate(&duplicate));
    Ok((sorted.map_err(temporary_file_error)?, reading))
}

impl Reading {
    fn add_duplicate(&mut self, duplicate: &Duplicate) {
        if duplicate.temperature == duplicate.kept_temperature {
            self.repeated += 1;
            return;
        }
        let Duplicate {
            sensor,
            kept,
            kept_temperature,
            text,
            temperature,
        } = duplicate;
        self.not_taken.add(format!(
            "`{sensor}` at `{text}` has the temperature {temperature}, but the same moment is there as `{kept}` with \
             {kept_temperature}, which is taken"
        ));
    }

    /// The number of items without a copy.
    pub(super) fn not_taken(&self) -> u64 {
        self.not_taken.count
    }

    /// The report as text.
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
