//! The ids of all sensors, one after the other in one text.

/// The ids one after the other.
#[derive(Debug, Default)]
pub(crate) struct List {
    text: String,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl List {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The id with a number; empty when there is none.
    pub(crate) fn get(&self, number: u32) -> &str {
        let number = number as usize;
        let start = match number.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or_default(),
            None => 0,
        };
        let end = self.ends.get(number).copied().unwrap_or_default();
        self.text.get(start..end).unwrap_or_default()
    }

    /// Gives back memory that no id takes.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// Adds an id; returns its number.
    pub(crate) fn push(&mut self, id: &str) -> u32 {
        self.text.push_str(id);
        self.ends.push(self.text.len());
        // The number of sensors is bounded far below 2³².
        (self.ends.len() - 1) as u32
    }
}
