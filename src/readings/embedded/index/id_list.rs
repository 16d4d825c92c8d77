//! A list of ids, stored in a single text.

/// Ids by number. The first number is 0.
#[derive(Debug, Default)]
pub(crate) struct IdList {
    text: String,
    /// The end of each id in the text.
    ends: Vec<usize>,
}

impl IdList {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The id with a number; empty if there is none.
    pub(crate) fn get(&self, number: u32) -> &str {
        let number = number as usize;
        let start = match number.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or_default(),
            None => 0,
        };
        let end = self.ends.get(number).copied().unwrap_or_default();
        self.text.get(start..end).unwrap_or_default()
    }

    /// Frees unused memory.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// Adds an id. Returns the number of the id.
    pub(crate) fn push(&mut self, id: &str) -> u32 {
        self.text.push_str(id);
        self.ends.push(self.text.len());
        // The number of sensors is limited far below 2³².
        (self.ends.len() - 1) as u32
    }
}
