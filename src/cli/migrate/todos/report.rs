//! The report of a copy of todos.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::HumanCount;

use crate::cli::duration::friendly;
use crate::cli::progress::rate;
use crate::http::extract::shortened;
use crate::todos::Status;
use crate::todos::import::{ImportItem, ImportOutcome, ImportResult, Note, OlderTodo};

/// The limit for the number of named todos in each category.
const NAMED_MAX: usize = 100;
/// The limit for the number of listed foreign statuses.
const WORDS_MAX: usize = 100;

/// The counts of a copy.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The rows read from the source.
    pub(super) rows: u64,
    /// The number of todos in the target at the end.
    pub(super) count_here: u64,
    added: u64,
    unchanged: u64,
    caught_up: u64,
    changed_here: Named,
    removed_here: Named,
    renumbered: Named,
    notes: BTreeMap<Note, Named>,
    words: BTreeMap<String, (u64, Status)>,
    /// Todos with a foreign status outside of the list.
    other_words: u64,
    compared: u64,
    different: Named,
}

/// A number of todos, and the names of the first.
#[derive(Debug, Default)]
struct Named {
    count: u64,
    first: Vec<String>,
}

impl Named {
    fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(name());
        }
    }

    fn line(&self, what: &str) -> String {
        if self.count == 0 {
            return String::new();
        }
        let more = match self.count > self.first.len() as u64 {
            true => ", …",
            false => "",
        };
        format!(
            "  {:>9} {what}: {}{more}\n",
            HumanCount(self.count).to_string(),
            self.first.join(", ")
        )
    }
}

/// The name of a todo in the report: the number, otherwise the id.
fn name(arrival: &ImportItem) -> String {
    match arrival.number {
        Some(number) => number.to_string(),
        None => arrival.todo.id.to_string(),
    }
}

impl Tally {
    /// Counts a row after the conversion to a todo.
    pub(super) fn converted(&mut self, number: i64, converted: &OlderTodo) {
        for note in &converted.notes {
            let named = self.notes.entry(*note).or_default();
            named.add(|| number.to_string());
        }
        let Some(word) = &converted.free_status else {
            return;
        };
        let word = shortened(word).into_owned();
        if self.words.len() >= WORDS_MAX && !self.words.contains_key(&word) {
            self.other_words += 1;
            return;
        }
        let entry = self.words.entry(word).or_insert((0, converted.status));
        entry.0 += 1;
    }

    /// Counts the result of copying a todo.
    pub(super) fn arrived(&mut self, arrival: &ImportItem, arrived: &ImportResult) {
        match arrived.outcome {
            ImportOutcome::Added => self.added += 1,
            ImportOutcome::Unchanged => self.unchanged += 1,
            ImportOutcome::Updated => self.caught_up += 1,
            ImportOutcome::ChangedHere => self.changed_here.add(|| name(arrival)),
            ImportOutcome::RemovedHere => self.removed_here.add(|| name(arrival)),
        }
        if let (Some(there), Some(here)) = (arrival.number, arrived.number)
            && there != here
        {
            self.renumbered.add(|| format!("{there} is {here}"));
        }
    }

    /// Counts the result of comparing a todo.
    pub(super) fn compared(&mut self, arrival: &ImportItem, is_same: bool) {
        self.compared += 1;
        if !is_same {
            self.different.add(|| name(arrival));
        }
    }

    pub(super) fn is_same(&self) -> bool {
        self.different.count == 0
    }

    /// The report as text.
    pub(super) fn text(&self, from: &str, to: &str, elapsed: Duration) -> String {
        let mut text = format!(
            "Copied {} todos from {from} to {to} in {} ({} a second)\n",
            HumanCount(self.rows),
            friendly(elapsed),
            rate(self.rows, elapsed),
        );
        for (count, what) in [
            (self.added, "added"),
            (self.unchanged, "the same already"),
            (
                self.caught_up,
                "changed there since they were copied: changed here, too",
            ),
        ] {
            text += &format!("  {:>9} {what}\n", HumanCount(count).to_string());
        }
        text += &self
            .changed_here
            .line("changed here since they were copied: left as they are here");
        text += &self
            .removed_here
            .line("removed here since they were copied: not brought back");
        text += &self
            .renumbered
            .line("have another number here, since another todo has theirs");
        if !self.words.is_empty() {
            text += "\nStatuses that are not pending, in progress or completed:\n";
        }
        for (word, (count, status)) in &self.words {
            let word = match word.trim() {
                "" => "(nothing)".to_owned(),
                _ => format!("{word:?}"),
            };
            let (count, status) = (HumanCount(*count).to_string(), status.as_str());
            text += &format!("  {count:>9} {word} became {status}\n");
        }
        if self.other_words > 0 {
            let count = HumanCount(self.other_words).to_string();
            text += &format!("  {count:>9} others, by the same rules\n");
        }
        if !self.notes.is_empty() {
            text += "\nWhat is other than it was:\n";
        }
        for (note, named) in &self.notes {
            text += &named.line(note.as_str());
        }
        text += &format!(
            "\nCompared: {} todos there, {} of them the same here; {} todos here in all\n",
            HumanCount(self.compared),
            HumanCount(self.compared - self.different.count),
            HumanCount(self.count_here),
        );
        text += &self.different.line("DIFFERENT");
        text += match (self.is_same(), self.count_here > self.compared) {
            (true, false) => "The same on both sides.\n",
            (true, true) => "All that was copied is the same; this side holds more than that.\n",
            (false, _) => {
                "Different: what was changed or removed here since stays as it is. Anything else: run it again.\n"
            }
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_are_named_and_all_are_counted() {
        let mut named = Named::default();
        for number in 0..1_500 {
            named.add(|| number.to_string());
        }
        let line = named.line("had no title");
        assert!(line.contains("1,500 had no title: 0, 1, 2,"), "{line}");
        assert!(line.ends_with("98, 99, …\n"), "{line}");
        assert_eq!(Named::default().line("x"), "");
    }
}
