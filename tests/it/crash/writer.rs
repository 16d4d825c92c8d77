//! A connection that writes readings, and the required readings of the store afterwards.

use std::collections::HashMap;

use fieldstation::readings::Temperature;

use super::keys::{Key, json, temperature};
use crate::support::{Answer, Client, Random};

/// The kind of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Single readings and small batches of a few sensors: new, late, repeated and replaced ones.
    Devices,
    /// Batches of thousands of readings of fifty sensors. Some readings are late.
    Bulk,
}

/// A connection that sends write requests in sequence. No other connection writes the same readings.
pub struct Writer {
    number: usize,
    habit: Habit,
    random: Random,
    /// The next unused step.
    step: i64,
    /// Written keys, to be written again.
    written: Vec<Key>,
    /// The acknowledged readings. The store must have these readings.
    certain: HashMap<Key, Temperature>,
    /// The unanswered request at the death of the server. The store may have all readings of the request, or none.
    in_flight: HashMap<Key, Temperature>,
    acknowledged: usize,
}

impl Writer {
    pub fn new(number: usize, habit: Habit, seed: u64) -> Self {
        Self {
            number,
            habit,
            random: Random::new(seed),
            step: 1_000_000,
            written: Vec::new(),
            certain: HashMap::new(),
            in_flight: HashMap::new(),
            acknowledged: 0,
        }
    }

    /// The number of acknowledged requests.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    pub fn certain(&self) -> &HashMap<Key, Temperature> {
        &self.certain
    }

    pub fn in_flight(&self) -> &HashMap<Key, Temperature> {
        &self.in_flight
    }

    /// Records whether the unanswered request was stored.
    pub fn settle(&mut self, stored: bool) {
        let in_flight = std::mem::take(&mut self.in_flight);
        if stored {
            self.certain.extend(in_flight);
        }
    }

    /// Writes until the server is gone.
    pub async fn write(&mut self, client: Client) {
        while self.send(&client).await {}
    }

    /// Writes at least `count` readings.
    pub async fn fill(&mut self, client: Client, readings: usize) {
        while self.certain.len() < readings {
            assert!(self.send(&client).await, "the server has gone");
        }
    }

    /// Sends a request. Returns whether the server acknowledged the request.
    async fn send(&mut self, client: &Client) -> bool {
        let readings = self.readings();
        self.in_flight = readings.iter().copied().collect();
        let mut body = String::with_capacity(readings.len() * 90);
        for (key, temperature) in &readings {
            json(&mut body, *key, *temperature);
            body.push('\n');
        }
        let request = if readings.len() == 1 && self.random.one_in(2) {
            client.request("PUT", "/api/temperature")
        } else {
            client
                .request("POST", "/api/readings")
                .header("content-type", "application/x-ndjson")
        };
        // Without an answer the outcome is unknown.
        let Ok(answer) = Answer::try_to(request.body(body)).await else {
            return false;
        };
        match answer.status {
            200 => {}
            // The server is stopping. The outcome is unknown, as without an answer.
            503 => return false,
            _ => panic!("{}", answer.text()),
        }
        self.acknowledged += 1;
        self.written.extend(readings.iter().map(|(key, _)| *key));
        self.certain.extend(self.in_flight.drain());
        true
    }

    fn readings(&mut self) -> Vec<(Key, Temperature)> {
        let count = match self.habit {
            Habit::Bulk => 2000 + self.random.below(6000),
            Habit::Devices if self.random.one_in(3) => 2 + self.random.below(30),
            Habit::Devices => 1,
        };
        (0..count).map(|_| self.reading()).collect()
    }

    fn reading(&mut self) -> (Key, Temperature) {
        // Most readings of a fleet are on time.
        let unusual = match self.habit {
            Habit::Devices => 3,
            Habit::Bulk => 500,
        };
        if self.random.one_in(unusual) && !self.written.is_empty() {
            let at = self.random.below(self.written.len() as u64) as usize;
            let key = self.written[at];
            return match self.random.below(3) {
                // Late: between two stored readings, or before all of them.
                0 => (self.late(), temperature(&mut self.random)),
                // Repeated.
                1 => (key, self.certain[&key]),
                // Replaced.
                _ => (key, temperature(&mut self.random)),
            };
        }
        self.step += 2;
        (
            Key::new(self.number, self.sensor(), self.step),
            temperature(&mut self.random),
        )
    }

    fn late(&mut self) -> Key {
        let step = self.random.below(self.step as u64 / 2) as i64 * 2 + 1;
        let sensor = self.sensor();
        Key::new(self.number, sensor, step)
    }

    /// All writers share the sensors, so the same chunks hold readings of all writers.
    fn sensor(&mut self) -> u16 {
        let sensors = match self.habit {
            Habit::Devices => 6,
            Habit::Bulk => 50,
        };
        self.random.below(sensors) as u16
    }
}
