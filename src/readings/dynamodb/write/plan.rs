//! What has to be known so that some readings can be stored, and what is lacking of it: pure.

use std::collections::{BTreeMap, HashMap};

use super::super::table::client::{Tables, internal};
use super::super::table::items::{Cell, Part};
use super::changes::{Change, Changes, brought, is_replacing};
use super::cost::ITEMS_MAX;
use super::transaction::{Author, Builder, Transaction};
use crate::error::StoreError;
use crate::readings::{SensorId, Timestamp};

/// What is known of a sensor.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownSensor {
    /// How many times replacements have changed it; none while it has no reading.
    pub(crate) guard: Option<u64>,
    /// Our cell.
    pub(crate) own: Option<Cell>,
    /// The cells of the other slots; looked up only for replacements.
    pub(crate) others: Option<Vec<(String, Cell)>>,
    /// The lowest and the highest of all its readings as they will be afterwards; looked up only when an extreme is replaced.
    pub(crate) extremes: Option<(i64, i64)>,
}

impl KnownSensor {
    /// Without what was looked up for one plan only.
    pub(crate) fn without_others(self) -> Self {
        Self {
            others: None,
            extremes: None,
            ..self
        }
    }
}

/// What is to be done about some readings.
#[derive(Debug)]
pub(crate) enum Plan {
    /// All of them are stored as they are.
    Nothing,
    /// They can be stored so.
    Send(Box<Transaction>),
    /// These sensors have to be looked up in all cells first.
    NeedCells(Vec<SensorId>),
    /// The extremes of these sensors have to be found among their readings first.
    NeedExtremes(Vec<SensorId>),
    /// They do not fit into one transaction: how many items each sensor takes with its readings.
    TooLarge(HashMap<SensorId, usize>),
}

/// Puts the transaction together. Every sensor of `changes` is in `known`.
pub(crate) fn plan(
    tables: &Tables,
    author: &Author,
    changes: &Changes,
    known: &HashMap<SensorId, KnownSensor>,
) -> Result<Plan, StoreError> {
    if changes.is_empty() {
        return Ok(Plan::Nothing);
    }
    let lacking = |lacks: &dyn Fn(&KnownSensor, &BTreeMap<Timestamp, Change>) -> bool| {
        let lacking = changes.iter().filter(|(sensor, of_sensor)| {
            known
                .get(*sensor)
                .is_none_or(|known| lacks(known, of_sensor))
        });
        lacking
            .map(|(sensor, _)| sensor.clone())
            .collect::<Vec<_>>()
    };
    let need_cells = lacking(&|known, of_sensor| is_replacing(of_sensor) && known.others.is_none());
    if !need_cells.is_empty() {
        return Ok(Plan::NeedCells(need_cells));
    }
    let need_extremes =
        lacking(&|known, of_sensor| known.extremes.is_none() && loses_an_extreme(known, of_sensor));
    if !need_extremes.is_empty() {
        return Ok(Plan::NeedExtremes(need_extremes));
    }

    let mut builder = Builder::new(tables, author);
    let mut ends = Vec::with_capacity(changes.len());
    for (sensor, of_sensor) in changes {
        let Some(known) = known.get(sensor) else {
            return Err(internal("a transaction"));
        };
        builder.add(sensor, of_sensor, known)?;
        ends.push(builder.len());
    }
    // The lane comes on top.
    if builder.len() >= ITEMS_MAX {
        let begins = std::iter::once(0).chain(ends.iter().copied());
        let sizes = ends.iter().zip(begins).map(|(end, begin)| end - begin);
        return Ok(Plan::TooLarge(changes.keys().cloned().zip(sizes).collect()));
    }
    Ok(Plan::Send(Box::new(builder.finish()?)))
}

/// Whether the sensor's extremes cannot be told from its cells once the changes are made: a reading that was one of them is
/// replaced, and no other change reaches as far.
fn loses_an_extreme(known: &KnownSensor, changes: &BTreeMap<Timestamp, Change>) -> bool {
    let mut whole = Part::EMPTY;
    let others = known.others.iter().flatten().map(|(_, cell)| cell);
    for cell in known.own.iter().chain(others) {
        whole.merge(&cell.part);
    }
    let mut news = Part::EMPTY;
    brought(changes).for_each(|temperature| news.widen(temperature.micro_degrees()));
    changes
        .values()
        .filter_map(|change| change.before.as_ref())
        .any(|before| {
            let old = before.temperature.micro_degrees();
            (old <= whole.minimum && news.minimum > old)
                || (old >= whole.maximum && news.maximum < old)
        })
}
