//! The request to add a todo.

const WORDS: [&str; 8] = [
    "water the plants",
    "feed the cat",
    "call the landlord",
    "replace the sensor on the roof",
    "read the meter",
    "order spare parts",
    "sweep the yard",
    "write the report",
];
const STATUSES: [&str; 3] = ["completed", "completed", "pending"];
pub(crate) const DIGITS: usize = 8;

/// Adds todos, each with a different title.
#[derive(Clone)]
pub(crate) struct AddTodo {
    request: Vec<u8>,
    /// The offset of the number in the title.
    number_at: usize,
    number: u64,
    /// The distance between two numbers of a connection: connections take numbers in turn.
    step: u64,
}

impl AddTodo {
    pub(crate) fn new(index: usize, connections: usize) -> Self {
        let (words, status) = (WORDS[index % WORDS.len()], STATUSES[index % STATUSES.len()]);
        let deadline = match index % 4 {
            0 => "null".to_owned(),
            day => format!("\"2026-12-{:02}T08:00:00Z\"", day + index),
        };
        let zeros = "0".repeat(DIGITS);
        let body = format!(
            r#"{{"title":"{words} {zeros}","description":"As soon as the weather allows; ask the neighbours for the key.","deadline":{deadline},"status":"{status}"}}"#
        );
        let request = format!(
            "POST /api/todos HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Self {
            number_at: request.find(&zeros).unwrap_or_default(),
            request: request.into_bytes(),
            number: index as u64,
            step: connections as u64,
        }
    }

    /// Returns the bytes of the next request.
    pub(crate) fn fill(&mut self) -> &[u8] {
        let digits = format!("{:0width$}", self.number, width = DIGITS);
        self.request[self.number_at..self.number_at + DIGITS].copy_from_slice(digits.as_bytes());
        self.number += self.step;
        &self.request
    }
}
