//! Sorts readings on disk by sensor and timestamp, and separates duplicates.
//!
//! An external merge sort: parts that fit in memory are sorted and written to temporary files, and the files are merged. The
//! files have no names, so nothing remains after a crash. A reading takes about 70 bytes of disk meanwhile.

mod run;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;

use self::run::{Record, Run, temporary_file};
use crate::readings::{Point, SensorId, SensorSummary, Stats, Temperature, Timestamp};

/// The readings in memory before a run is written: about 40 MB.
const BUFFERED_MAX: usize = 400_000;
/// The bytes of a point in the file: timestamp and temperature.
const POINT_BYTES: usize = 16;

/// Takes readings in any order.
#[derive(Debug)]
pub(super) struct Sorter {
    numbers: HashMap<SensorId, u32>,
    sensors: Vec<SensorId>,
    buffered: Vec<Record>,
    buffered_max: usize,
    runs: Vec<Run>,
}

/// A second item with the same sensor and timestamp.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Duplicate {
    pub(super) sensor: SensorId,
    /// The spelling of the timestamp in the item that is copied: the first item by its spelling.
    pub(super) kept: String,
    pub(super) kept_temperature: Temperature,
    /// The spelling of the timestamp in the other item.
    pub(super) text: String,
    pub(super) temperature: Temperature,
}

/// All readings, sorted.
#[derive(Debug)]
pub(super) struct Sorted {
    points: File,
    /// The sensors in order of their ids.
    sensors: Vec<SortedSensor>,
    stats: Stats,
}

#[derive(Debug)]
struct SortedSensor {
    summary: SensorSummary,
    /// The index of the sensor's first point in the file.
    begin: u64,
}

impl Sorter {
    pub(super) fn new() -> Self {
        Self::with_buffer(BUFFERED_MAX)
    }

    fn with_buffer(buffered_max: usize) -> Self {
        Self {
            numbers: HashMap::new(),
            sensors: Vec::new(),
            buffered: Vec::new(),
            buffered_max,
            runs: Vec::new(),
        }
    }

    /// Adds a reading.
    ///
    /// # Errors
    /// The disk fails or is full.
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
        self.buffered.push(Record {
            sensor,
            micros: point.timestamp.micros(),
            micro_degrees: point.temperature.micro_degrees(),
            text: text.into(),
        });
        if self.buffered.len() >= self.buffered_max {
            let run = self.spill()?;
            self.runs.push(run);
        }
        Ok(())
    }

    /// Writes the buffered records to a run, in order.
    fn spill(&mut self) -> io::Result<Run> {
        let mut buffered = std::mem::take(&mut self.buffered);
        buffered.sort_unstable_by(|a, b| key(&self.sensors, a).cmp(&key(&self.sensors, b)));
        Run::write(&buffered)
    }

    /// Sorts all readings. Calls `duplicate` with each second item of a sensor and timestamp.
    ///
    /// # Errors
    /// The disk fails.
    pub(super) fn finish(mut self, mut duplicate: impl FnMut(Duplicate)) -> io::Result<Sorted> {
        let last = self.spill()?;
        let mut runs = std::mem::take(&mut self.runs);
        runs.push(last);
        let mut heads = BinaryHeap::new();
        for (at, run) in runs.iter_mut().enumerate() {
            if let Some(record) = run.next()? {
                heads.push(Reverse(Head::of(&self.sensors, record, at)));
            }
        }
        let mut writer = SortedWriter::begin()?;
        while let Some(Reverse(Head { record, run, .. })) = heads.pop() {
            if let Some(next) = runs[run].next()? {
                heads.push(Reverse(Head::of(&self.sensors, next, run)));
            }
            writer.take(&self.sensors, record, &mut duplicate)?;
        }
        writer.end()
    }
}

fn key<'a>(sensors: &'a [SensorId], record: &'a Record) -> (&'a SensorId, i64, &'a str) {
    (
        &sensors[record.sensor as usize],
        record.micros,
        &record.text,
    )
}

/// The next record of a run, ordered for the merge.
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

/// Writes the sorted file.
struct SortedWriter {
    out: BufWriter<File>,
    written: u64,
    last: Option<Record>,
    sensors: Vec<SortedSensor>,
    stats: Stats,
}

impl SortedWriter {
    fn begin() -> io::Result<Self> {
        Ok(Self {
            out: BufWriter::new(temporary_file()?),
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
        duplicate: &mut impl FnMut(Duplicate),
    ) -> io::Result<()> {
        let sensor = &names[record.sensor as usize];
        let point = point(record.micros, record.micro_degrees)?;
        if let Some(last) = &self.last
            && (last.sensor, last.micros) == (record.sensor, record.micros)
        {
            let kept = self::point(last.micros, last.micro_degrees)?;
            duplicate(Duplicate {
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
            _ => self.sensors.push(SortedSensor {
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
    /// The statistics over all readings.
    pub(super) fn stats(&self) -> Stats {
        self.stats
    }

    /// The sensors after a sensor, in order of their ids, at most `limit`.
    pub(super) fn sensors(&self, after: Option<&SensorId>, limit: usize) -> Vec<SensorSummary> {
        let begin = after.map_or(0, |after| {
            self.sensors
                .partition_point(|it| it.summary.sensor <= *after)
        });
        let found = self.sensors[begin..].iter().take(limit);
        found.map(|it| it.summary.clone()).collect()
    }

    /// At most `count_max` points of a sensor in order of time, from the point with index `from` on; none after the last.
    ///
    /// # Errors
    /// The disk fails.
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

/// A stored point. Only a failure of the disk makes a stored point invalid.
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

#[cfg(test)]
mod tests;
