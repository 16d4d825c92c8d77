//! Readings in whatever order, put in order on the disk: sensor by sensor, by time, each moment once.
//!
//! What fits in memory is sorted there and written to a file, and in the end these are merged into one. The files have no names, so that
//! nothing is left of them whatever happens: a reading takes about 70 bytes of the disk while this works.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use crate::random;
use crate::readings::{Point, SensorId, SensorSummary, Stats, Temperature, Timestamp};

/// How many readings are held until they are written: about 40 MB.
const HELD_MAX: usize = 400_000;
/// A point in the file: its moment and its temperature.
const POINT_BYTES: usize = 16;
/// The longest text of a time that tells doubles apart; a key has 2,048 bytes at the most.
const TEXT_BYTES_MAX: usize = u16::MAX as usize;

/// A reading on its way: a sensor by its number, the moment, how that is written, the temperature.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    sensor: u32,
    micros: i64,
    micro_degrees: i64,
    text: Box<str>,
}

/// Takes readings in any order.
#[derive(Debug)]
pub(super) struct Sorter {
    numbers: HashMap<SensorId, u32>,
    sensors: Vec<SensorId>,
    held: Vec<Record>,
    held_max: usize,
    runs: Vec<File>,
}

/// A second item for a moment of a sensor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Double {
    pub(super) sensor: SensorId,
    /// How the moment is written in the item that is taken: the first by its text.
    pub(super) kept: String,
    pub(super) kept_temperature: Temperature,
    /// And in the other one.
    pub(super) text: String,
    pub(super) temperature: Temperature,
}

/// All readings in order.
#[derive(Debug)]
pub(super) struct Sorted {
    points: File,
    /// In order of their ids.
    sensors: Vec<OfSensor>,
    stats: Stats,
}

#[derive(Debug)]
struct OfSensor {
    summary: SensorSummary,
    /// Where in the file its points begin.
    begin: u64,
}

impl Sorter {
    pub(super) fn new() -> Self {
        Self::with_room(HELD_MAX)
    }

    fn with_room(held_max: usize) -> Self {
        Self {
            numbers: HashMap::new(),
            sensors: Vec::new(),
            held: Vec::new(),
            held_max,
            runs: Vec::new(),
        }
    }

    /// Takes a reading in.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(super) fn push(&mut self, sensor: &SensorId, point: Point, text: &str) -> io::Result<()> {
        let sensor = match self.numbers.get(sensor) {
            Some(&number) => number,
            None => {
                let number = u32::try_from(self.sensors.len()).map_err(io::Error::other)?;
                self.sensors.push(sensor.clone());
                self.numbers.insert(sensor.clone(), number);
                number
            }
        };
        self.held.push(Record {
            sensor,
            micros: point.timestamp.micros(),
            micro_degrees: point.temperature.micro_degrees(),
            text: text.into(),
        });
        if self.held.len() >= self.held_max {
            let run = self.spill()?;
            self.runs.push(run);
        }
        Ok(())
    }

    /// Writes what is held to a file of its own, in order.
    fn spill(&mut self) -> io::Result<File> {
        let mut held = std::mem::take(&mut self.held);
        held.sort_unstable_by(|a, b| key(&self.sensors, a).cmp(&key(&self.sensors, b)));
        let mut out = BufWriter::new(unnamed_file()?);
        for record in &held {
            let text = record.text.as_bytes();
            let text = &text[..text.len().min(TEXT_BYTES_MAX)];
            out.write_all(&record.sensor.to_le_bytes())?;
            out.write_all(&record.micros.to_le_bytes())?;
            out.write_all(&record.micro_degrees.to_le_bytes())?;
            out.write_all(&(text.len() as u16).to_le_bytes())?;
            out.write_all(text)?;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)
    }

    /// Everything in order. `double` hears of each item whose moment another one has, too.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn finish(mut self, mut double: impl FnMut(Double)) -> io::Result<Sorted> {
        let last = self.spill()?;
        self.runs.push(last);
        let mut runs = Vec::with_capacity(self.runs.len());
        for run in std::mem::take(&mut self.runs) {
            runs.push(Run::open(run)?);
        }
        let mut heads = BinaryHeap::new();
        for (at, run) in runs.iter_mut().enumerate() {
            if let Some(record) = run.next()? {
                heads.push(Reverse(Head::of(&self.sensors, record, at)));
            }
        }
        let mut writing = Writing::begin()?;
        while let Some(Reverse(Head { record, run, .. })) = heads.pop() {
            if let Some(next) = runs[run].next()? {
                heads.push(Reverse(Head::of(&self.sensors, next, run)));
            }
            writing.take(&self.sensors, record, &mut double)?;
        }
        writing.end()
    }
}

fn key<'a>(sensors: &'a [SensorId], record: &'a Record) -> (&'a SensorId, i64, &'a str) {
    (
        &sensors[record.sensor as usize],
        record.micros,
        &record.text,
    )
}

/// The next record of a run, in the order of all.
struct Head {
    sensor: SensorId,
    record: Record,
    run: usize,
}

impl Head {
    fn of(sensors: &[SensorId], record: Record, run: usize) -> Self {
        Self {
            sensor: sensors[record.sensor as usize].clone(),
            record,
            run,
        }
    }

    fn key(&self) -> (&SensorId, i64, &str, usize) {
        (
            &self.sensor,
            self.record.micros,
            &self.record.text,
            self.run,
        )
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// A file of records, from its beginning.
struct Run(BufReader<File>);

impl Run {
    fn open(mut file: File) -> io::Result<Self> {
        io::Seek::rewind(&mut file)?;
        Ok(Self(BufReader::new(file)))
    }

    fn next(&mut self) -> io::Result<Option<Record>> {
        let mut head = [0; 22];
        if io::BufRead::fill_buf(&mut self.0)?.is_empty() {
            return Ok(None);
        }
        self.0.read_exact(&mut head)?;
        let mut number = [0; 4];
        number.copy_from_slice(&head[..4]);
        let long = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&head[at..at + 8]);
            i64::from_le_bytes(bytes)
        };
        let length = u16::from_le_bytes([head[20], head[21]]);
        let mut text = vec![0; usize::from(length)];
        self.0.read_exact(&mut text)?;
        Ok(Some(Record {
            sensor: u32::from_le_bytes(number),
            micros: long(4),
            micro_degrees: long(12),
            text: String::from_utf8_lossy(&text).into(),
        }))
    }
}

/// The one file in the making.
struct Writing {
    out: BufWriter<File>,
    written: u64,
    last: Option<Record>,
    sensors: Vec<OfSensor>,
    stats: Stats,
}

impl Writing {
    fn begin() -> io::Result<Self> {
        Ok(Self {
            out: BufWriter::new(unnamed_file()?),
            written: 0,
            last: None,
            sensors: Vec::new(),
            stats: Stats::EMPTY,
        })
    }

    fn take(
        &mut self,
        names: &[SensorId],
        record: Record,
        double: &mut impl FnMut(Double),
    ) -> io::Result<()> {
        let sensor = &names[record.sensor as usize];
        let point = point(record.micros, record.micro_degrees)?;
        if let Some(last) = &self.last
            && (last.sensor, last.micros) == (record.sensor, record.micros)
        {
            let kept = self::point(last.micros, last.micro_degrees)?;
            double(Double {
                sensor: sensor.clone(),
                kept: last.text.to_string(),
                kept_temperature: kept.temperature,
                text: record.text.to_string(),
                temperature: point.temperature,
            });
            return Ok(());
        }
        self.out.write_all(&record.micros.to_le_bytes())?;
        self.out.write_all(&record.micro_degrees.to_le_bytes())?;
        self.stats.add(point.temperature);
        match self.sensors.last_mut() {
            Some(current) if current.summary.sensor == *sensor => {
                current.summary.stats.add(point.temperature);
                current.summary.last = point.timestamp;
                current.summary.latest = point.temperature;
            }
            _ => self.sensors.push(OfSensor {
                summary: SensorSummary {
                    sensor: sensor.clone(),
                    stats: Stats::from_iter([point.temperature]),
                    first: point.timestamp,
                    last: point.timestamp,
                    latest: point.temperature,
                },
                begin: self.written,
            }),
        }
        self.written += 1;
        self.last = Some(record);
        Ok(())
    }

    fn end(self) -> io::Result<Sorted> {
        let points = self.out.into_inner();
        Ok(Sorted {
            points: points.map_err(io::IntoInnerError::into_error)?,
            sensors: self.sensors,
            stats: self.stats,
        })
    }
}

impl Sorted {
    /// Statistics of everything.
    pub(super) fn stats(&self) -> Stats {
        self.stats
    }

    /// Sensors after one, in order of their ids, at most `limit`.
    pub(super) fn sensors(&self, after: Option<&SensorId>, limit: usize) -> Vec<SensorSummary> {
        let begin = after.map_or(0, |after| {
            self.sensors
                .partition_point(|it| it.summary.sensor <= *after)
        });
        let found = self.sensors[begin..].iter().take(limit);
        found.map(|it| it.summary.clone()).collect()
    }

    /// Some points of a sensor in order of time, beginning with that of this number; none after the last.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn points(
        &self,
        sensor: &SensorId,
        from: u64,
        count_max: usize,
    ) -> io::Result<Vec<Point>> {
        let known = self
            .sensors
            .binary_search_by(|it| it.summary.sensor.cmp(sensor));
        let Some(found) = known.ok().and_then(|at| self.sensors.get(at)) else {
            return Ok(Vec::new());
        };
        let left = found.summary.stats.count().saturating_sub(from);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(count_max);
        let mut bytes = vec![0; count * POINT_BYTES];
        let begin = (found.begin + from) * POINT_BYTES as u64;
        self.points.read_exact_at(&mut bytes, begin)?;
        let points = bytes.chunks_exact(POINT_BYTES).map(|bytes| {
            let long = |at: usize| {
                let mut long = [0; 8];
                long.copy_from_slice(&bytes[at..at + 8]);
                i64::from_le_bytes(long)
            };
            point(long(0), long(8))
        });
        points.collect()
    }
}

/// What was a point when it was written is one when it is read, unless the disk has changed it.
fn point(micros: i64, micro_degrees: i64) -> io::Result<Point> {
    let timestamp = Timestamp::from_micros(micros);
    let temperature = Temperature::from_micro_degrees(micro_degrees);
    match (timestamp, temperature) {
        (Some(timestamp), Some(temperature)) => Ok(Point {
            timestamp,
            temperature,
        }),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a temporary file does not hold what was written to it",
        )),
    }
}

/// A file that nobody else can find, and that goes when the process does.
fn unnamed_file() -> io::Result<File> {
    let folder = std::env::temp_dir();
    let path: PathBuf = folder.join(format!(".fieldstation-{}", random::timed_name()));
    let in_folder = |error: io::Error| {
        let message = format!("a temporary file in {} (TMPDIR): {error}", folder.display());
        io::Error::new(error.kind(), message)
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(in_folder)?;
    fs::remove_file(&path).map_err(in_folder)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
