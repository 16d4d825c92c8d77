//! The readings to send: many sensors at 1 Hz, each a random walk, written into prepared request bytes.

use anyhow::{Context, Result};
use fieldstation::readings::{Stats, Temperature, Timestamp};

/// 2026-01-01T00:00:00Z.
pub(crate) const FIRST_SECOND: i64 = 1_767_225_600;
/// 10.00 to 39.99 degrees in hundredths, so every temperature has five characters.
const HUNDREDTHS: std::ops::RangeInclusive<i32> = 1_000..=3_999;
/// The largest step per second, in hundredths: 21 values, 4.4 bits of information per reading.
const STEP_MAX: i32 = 10;

const SENSOR: &str = "sensor-000000";
const TIMESTAMP: &str = "2026-01-01T00:00:00Z";
const TIMESTAMP_WITH_MILLISECONDS: &str = "2026-01-01T00:00:00.000Z";
const TEMPERATURE: &str = "20.00";

/// Sensors. The sensors report in turn, every second or every few seconds.
#[derive(Clone)]
pub(crate) struct Fleet {
    sensors: Vec<Sensor>,
    next: usize,
    second: i64,
    /// The time between two readings of a sensor.
    step_seconds: i64,
    scatter: Option<Scatter>,
    /// Whether each sensor reports at a different millisecond. Otherwise all sensors report at the start of a second.
    out_of_step: bool,
    timestamp: Vec<u8>,
    random: u64,
}

/// An order with a large time between most consecutive readings: each step is large and wraps around.
#[derive(Clone)]
struct Scatter {
    next: usize,
    step: usize,
    count: usize,
}

/// A prime, so no likely count is a multiple of this number.
const SCATTER_STEP: usize = 1_000_003;

#[derive(Clone)]
struct Sensor {
    id: [u8; SENSOR.len()],
    hundredths: i32,
}

impl Fleet {
    /// `count` sensors, beginning with number `first`.
    pub(crate) fn new(first: usize, count: usize) -> Result<Self> {
        let sensors = (first..first + count)
            .map(|number| {
                let id = format!("sensor-{number:06}").into_bytes();
                let id = id.try_into().ok().context("too many sensors")?;
                Ok(Sensor {
                    id,
                    hundredths: 2_000,
                })
            })
            .collect::<Result<_>>()?;
        let mut fleet = Self {
            sensors,
            next: 0,
            second: FIRST_SECOND,
            step_seconds: 1,
            scatter: None,
            out_of_step: false,
            timestamp: Vec::new(),
            random: 0x9e37_79b9_7f4a_7c15 ^ first as u64,
        };
        fleet.write_timestamp()?;
        Ok(fleet)
    }

    /// The same sensors, each at a different millisecond.
    pub(crate) fn out_of_step(mut self) -> Self {
        self.out_of_step = true;
        let seconds = TIMESTAMP.len() - 1;
        self.timestamp.truncate(seconds);
        self.timestamp
            .extend_from_slice(&TIMESTAMP_WITH_MILLISECONDS.as_bytes()[seconds..]);
        self
    }

    /// Continues `seconds` after the start. The temperatures continue at the last values.
    pub(crate) fn start_at(&mut self, seconds: i64) -> Result<()> {
        self.second = FIRST_SECOND + seconds;
        self.write_timestamp()
    }

    /// Each sensor reports once in this number of seconds.
    pub(crate) fn every(mut self, seconds: i64) -> Self {
        self.step_seconds = seconds;
        self
    }

    /// Sends every reading of `seconds` seconds once, in scattered order. This fleet sends part `part` of `parts`.
    pub(crate) fn scattered(mut self, seconds: usize, part: usize, parts: usize) -> Self {
        self.scatter = Some(Scatter {
            next: part,
            step: parts,
            count: self.sensors.len() * seconds,
        });
        self
    }

    fn write_timestamp(&mut self) -> Result<()> {
        let time = Timestamp::from_micros(self.second * 1_000_000).context("too many seconds")?;
        let mut text = Vec::with_capacity(TIMESTAMP.len());
        time.write_to(&mut text);
        if self.out_of_step {
            let seconds = TIMESTAMP.len() - 1;
            text.truncate(seconds);
            text.extend_from_slice(&TIMESTAMP_WITH_MILLISECONDS.as_bytes()[seconds..]);
        }
        self.timestamp = text;
        Ok(())
    }

    /// The timestamp of the next reading in microseconds, and the temperature.
    pub(crate) fn next_reading(&mut self) -> Result<(i64, i32)> {
        let milliseconds = self.milliseconds();
        let at = self.second * 1_000_000 + milliseconds * 1_000;
        let hundredths = self.measure();
        self.pass()?;
        Ok((at, hundredths))
    }

    /// The offset of the current sensor within the second.
    fn milliseconds(&self) -> i64 {
        match self.out_of_step {
            true => (self.next * 7 % 1_000) as i64,
            false => 0,
        }
    }

    /// Takes a reading of the current sensor.
    fn measure(&mut self) -> i32 {
        let step = self.step();
        let sensor = &mut self.sensors[self.next];
        let moved = sensor.hundredths + step;
        if HUNDREDTHS.contains(&moved) {
            sensor.hundredths = moved;
        }
        sensor.hundredths
    }

    /// Moves on to the next sensor.
    fn pass(&mut self) -> Result<()> {
        self.next += 1;
        if self.next == self.sensors.len() {
            self.next = 0;
            self.second += self.step_seconds;
            self.write_timestamp()?;
        }
        Ok(())
    }

    /// Xorshift: cheap, and equal in every run.
    fn step(&mut self) -> i32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % (2 * STEP_MAX as u64 + 1)) as i32 - STEP_MAX
    }

    /// Writes the next reading into the three fields of `row`, and returns the temperature.
    fn write_next(&mut self, row: &mut [u8], at: &Fields) -> Result<i32> {
        if let Some(scatter) = &mut self.scatter {
            let reading = (scatter.next % scatter.count) * SCATTER_STEP % scatter.count;
            scatter.next += scatter.step;
            let second = reading / self.sensors.len();
            self.next = reading % self.sensors.len();
            self.start_at(1 + second as i64 * self.step_seconds)?;
        }
        let digit = |value: i32| b'0' + (value % 10) as u8;
        if self.out_of_step {
            let milliseconds = self.milliseconds() as i32;
            self.timestamp[TIMESTAMP.len()..][..3].copy_from_slice(&[
                digit(milliseconds / 100),
                digit(milliseconds / 10),
                digit(milliseconds),
            ]);
        }
        let hundredths = self.measure();
        row[at.sensor..][..SENSOR.len()].copy_from_slice(&self.sensors[self.next].id);
        row[at.timestamp..][..self.timestamp.len()].copy_from_slice(&self.timestamp);
        row[at.temperature..][..TEMPERATURE.len()].copy_from_slice(&[
            digit(hundredths / 1000),
            digit(hundredths / 100),
            b'.',
            digit(hundredths / 10),
            digit(hundredths),
        ]);
        self.pass()?;
        Ok(hundredths)
    }
}

/// The offsets of the fields in a row.
#[derive(Clone)]
struct Fields {
    sensor: usize,
    timestamp: usize,
    temperature: usize,
}

/// A request with readings. The benchmark sends the same bytes again and again, each time with new readings.
#[derive(Clone)]
pub(crate) struct ReadingsRequest {
    fleet: Fleet,
    bytes: Vec<u8>,
    body_at: usize,
    row_bytes: usize,
    fields: Fields,
    /// The totals of the readings in `bytes` before the acknowledgement.
    pending: Stats,
    /// Whether the store already holds all readings in `bytes`.
    again: bool,
}

impl ReadingsRequest {
    /// `PUT /api/temperature` with a single reading per request.
    pub(crate) fn put(fleet: Fleet) -> Result<Self> {
        Self::new(fleet, "PUT /api/temperature", "application/json", 1)
    }

    /// `POST /api/readings` with NDJSON lines.
    pub(crate) fn batch(fleet: Fleet, rows: usize) -> Result<Self> {
        Self::new(fleet, "POST /api/readings", "application/x-ndjson", rows)
    }

    fn new(fleet: Fleet, route: &str, content_type: &str, rows: usize) -> Result<Self> {
        let timestamp = match fleet.out_of_step {
            true => TIMESTAMP_WITH_MILLISECONDS,
            false => TIMESTAMP,
        };
        let row = format!(
            "{{\"sensorId\":\"{SENSOR}\",\"timestamp\":\"{timestamp}\",\"temperature\":{TEMPERATURE}}}\n"
        );
        let place = |text: &str| row.find(text).context("a field that is not in its row");
        let fields = Fields {
            sensor: place(SENSOR)?,
            timestamp: place(timestamp)?,
            temperature: place(TEMPERATURE)?,
        };
        let head = format!(
            "{route} HTTP/1.1\r\nhost: bench\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            rows * row.len()
        );
        Ok(Self {
            fleet,
            body_at: head.len(),
            row_bytes: row.len(),
            fields,
            pending: Stats::EMPTY,
            again: false,
            bytes: (head + &row.repeat(rows)).into_bytes(),
        })
    }

    /// Continues with another fleet.
    pub(crate) fn set_fleet(&mut self, fleet: Fleet) {
        self.fleet = fleet;
    }

    /// The fleet in its current state.
    pub(crate) fn fleet(&mut self) -> &mut Fleet {
        &mut self.fleet
    }

    /// From now on, the store holds all readings already.
    pub(crate) fn send_again(&mut self) {
        self.again = true;
    }

    /// The expected outcome in the answer.
    pub(crate) fn expected(&self) -> &'static str {
        if self.again { "unchanged" } else { "recorded" }
    }

    /// The number of readings per request.
    pub(crate) fn rows(&self) -> usize {
        (self.bytes.len() - self.body_at) / self.row_bytes
    }

    /// The next request.
    pub(crate) fn fill(&mut self) -> Result<&[u8]> {
        self.pending = Stats::EMPTY;
        for row in self.bytes[self.body_at..].chunks_exact_mut(self.row_bytes) {
            let hundredths = self.fleet.write_next(row, &self.fields)?;
            let temperature = Temperature::from_micro_degrees(i64::from(hundredths) * 10_000);
            self.pending.add(temperature.context("an odd temperature")?);
        }
        Ok(&self.bytes)
    }

    /// The totals of the new readings in the last request.
    pub(crate) fn pending(&self) -> Stats {
        if self.again {
            Stats::EMPTY
        } else {
            self.pending
        }
    }
}
