//! A run of points as bytes: what a chunk holds. Pure functions; nothing here knows of SQLite.
//!
//! A long run is written in pages, which share what the compression has learned of all of them, and can be decoded one by
//! one: who looks for one moment decodes a few hundred points, not thousands.

use pco::standalone::simple_decompress;
use pco::wrapped::{ChunkDecompressor, FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec, PagingSpec};

use super::codec::{CodecError, Cursor, Scale, put_signed, put_unsigned};
use crate::readings::{Point, Temperature, Timestamp, Window};

/// Differences as variable-length integers: shorter than pco's headers for a few dozen points.
const FORMAT_DELTAS: u8 = 1;
/// Two pco streams, timestamps and temperatures. Only read: no chunk is written like this any more.
const FORMAT_STREAMS: u8 = 2;
/// A directory of pages, and for each page the differences of its timestamps and of its temperatures, compressed by pco.
const FORMAT_PAGES: u8 = 3;

/// From how many points on pco is the shorter one.
const PCO_POINTS_MIN: usize = 64;

/// How many points a page holds; only the last has fewer. Half as many take an eighth more room, twice as many take twice
/// as long to decode. Part of the format.
const PAGE_POINTS: usize = 512;

/// Higher levels take longer and save nothing here: the numbers are scaled and differenced already.
const PCO_LEVEL: usize = 4;

/// Points next to each other in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// How many points the whole run says it has, and when its first one is.
    pub(crate) count: u64,
    pub(crate) first: Timestamp,
    /// In strictly ascending order of time.
    pub(crate) points: Vec<Point>,
    /// When the next point of the run is, if this is not its end.
    pub(crate) next: Option<Timestamp>,
}

/// Encodes points, which are in strictly ascending order of time, and are at least one.
pub(crate) fn encode_run(points: &[Point]) -> Result<Vec<u8>, CodecError> {
    let scales = Scales {
        times: Scale::common(points.iter().map(|point| point.timestamp.micros())),
        temperatures: Scale::common(points.iter().map(|point| point.temperature.micro_degrees())),
    };
    let mut out = Vec::with_capacity(32 + points.len() * 2);
    let paged = points.len() >= PCO_POINTS_MIN;
    out.push(if paged { FORMAT_PAGES } else { FORMAT_DELTAS });
    put_unsigned(&mut out, points.len() as u64);
    out.push(scales.times.to_byte());
    out.push(scales.temperatures.to_byte());
    if paged {
        put_pages(&mut out, points, scales)?;
    } else {
        let mut before = Numbers::default();
        for point in points {
            let numbers = scales.down(point);
            put_signed(&mut out, numbers.time - before.time);
            put_signed(&mut out, numbers.temperature - before.temperature);
            before = numbers;
        }
    }
    Ok(out)
}

fn put_pages(out: &mut Vec<u8>, points: &[Point], scales: Scales) -> Result<(), CodecError> {
    // How many differences the pages have; a page of one point has none, and pco knows no empty pages.
    let mut differences = Vec::with_capacity(points.len() / PAGE_POINTS + 1);
    let mut times = Vec::with_capacity(points.len());
    let mut temperatures = Vec::with_capacity(points.len());
    for page in points.chunks(PAGE_POINTS) {
        let mut before = scales.down(&page[0]);
        for point in &page[1..] {
            let numbers = scales.down(point);
            times.push(numbers.time - before.time);
            temperatures.push(numbers.temperature - before.temperature);
            before = numbers;
        }
        if page.len() > 1 {
            differences.push(page.len() - 1);
        }
    }
    let config = ChunkConfig::default()
        .with_compression_level(PCO_LEVEL)
        .with_mode_spec(ModeSpec::Classic)
        .with_delta_spec(DeltaSpec::NoOp)
        .with_paging_spec(PagingSpec::Exact(differences));
    // The configuration is one that pco accepts, it accepts any numbers, and memory takes any bytes.
    let impossible = |_| CodecError::OutOfRange;
    let file = FileCompressor::default();
    let mut times = file.chunk_compressor(&times, &config).map_err(impossible)?;
    let mut temperatures = file
        .chunk_compressor(&temperatures, &config)
        .map_err(impossible)?;
    let mut pages = Vec::with_capacity(points.len());
    let mut before = Numbers::default();
    for (at, page) in points.chunks(PAGE_POINTS).enumerate() {
        let start = pages.len();
        if page.len() > 1 {
            times.write_page(at, &mut pages).map_err(impossible)?;
            temperatures
                .write_page(at, &mut pages)
                .map_err(impossible)?;
        }
        let first = scales.down(&page[0]);
        put_signed(out, first.time - before.time);
        put_signed(out, first.temperature - before.temperature);
        put_unsigned(out, (pages.len() - start) as u64);
        before = first;
    }
    file.write_header(&mut *out).map_err(impossible)?;
    times.write_meta(&mut *out).map_err(impossible)?;
    temperatures.write_meta(&mut *out).map_err(impossible)?;
    out.extend_from_slice(&pages);
    Ok(())
}

/// Decodes the whole of a run.
#[cfg(any(test, fuzzing))]
pub(crate) fn decode_run(bytes: &[u8]) -> Result<Vec<Point>, CodecError> {
    decode_within(bytes, Window::ALL).map(|part| part.points)
}

/// Decodes what [`encode_run`] wrote: the pages of it that have points in a window, or would have one at its start; at least
/// one, and all of a run without pages. Any other bytes give an error, never a panic and never points out of order.
pub(crate) fn decode_within(bytes: &[u8], window: Window) -> Result<Part, CodecError> {
    let mut cursor = Cursor::new(bytes);
    let format = cursor.byte()?;
    if !(FORMAT_DELTAS..=FORMAT_PAGES).contains(&format) {
        return Err(CodecError::Format(format));
    }
    let count = cursor.unsigned()?;
    let scales = Scales {
        times: Scale::from_byte(cursor.byte()?)?,
        temperatures: Scale::from_byte(cursor.byte()?)?,
    };
    if format == FORMAT_PAGES {
        return Pages::read(cursor, count, scales)?.within(window);
    }
    let mut points = Ascending::new(scales);
    if format == FORMAT_STREAMS {
        let times = stream(&mut cursor)?;
        let temperatures = stream(&mut cursor)?;
        if times.len() != temperatures.len() {
            return Err(CodecError::Truncated);
        }
        for (time, temperature) in times.into_iter().zip(temperatures) {
            points.push(Numbers { time, temperature })?;
        }
    } else {
        let mut numbers = Numbers::default();
        for _ in 0..count {
            numbers = numbers.plus(cursor.signed()?, cursor.signed()?)?;
            points.push(numbers)?;
        }
    }
    match points.points.first() {
        Some(first) if points.points.len() as u64 == count && cursor.is_at_end() => Ok(Part {
            count,
            first: first.timestamp,
            points: points.points,
            next: None,
        }),
        _ => Err(CodecError::Truncated),
    }
}

fn stream(cursor: &mut Cursor<'_>) -> Result<Vec<i64>, CodecError> {
    let length = cursor.count()?;
    simple_decompress(cursor.bytes(length)?).map_err(|_| CodecError::Truncated)
}

/// The units of a run's numbers.
#[derive(Clone, Copy, Debug)]
struct Scales {
    times: Scale,
    temperatures: Scale,
}

/// A point in these units.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    time: i64,
    temperature: i64,
}

impl Numbers {
    fn plus(self, time: i64, temperature: i64) -> Result<Self, CodecError> {
        let sum = |one: i64, other| one.checked_add(other).ok_or(CodecError::OutOfRange);
        Ok(Self {
            time: sum(self.time, time)?,
            temperature: sum(self.temperature, temperature)?,
        })
    }
}

impl Scales {
    fn down(self, point: &Point) -> Numbers {
        Numbers {
            time: point.timestamp.micros() / self.times.factor(),
            temperature: point.temperature.micro_degrees() / self.temperatures.factor(),
        }
    }

    fn up(self, numbers: Numbers) -> Result<Point, CodecError> {
        let micros = self.times.scale_up(numbers.time)?;
        let micro_degrees = self.temperatures.scale_up(numbers.temperature)?;
        Ok(Point {
            timestamp: Timestamp::from_micros(micros).ok_or(CodecError::OutOfRange)?,
            temperature: Temperature::from_micro_degrees(micro_degrees)
                .ok_or(CodecError::OutOfRange)?,
        })
    }
}

/// Points that are decoded one by one.
#[derive(Debug)]
struct Ascending {
    scales: Scales,
    points: Vec<Point>,
}

impl Ascending {
    fn new(scales: Scales) -> Self {
        let points = Vec::new();
        Self { scales, points }
    }

    fn push(&mut self, numbers: Numbers) -> Result<(), CodecError> {
        let point = self.scales.up(numbers)?;
        let last = self.points.last();
        if last.is_some_and(|last| last.timestamp >= point.timestamp) {
            return Err(CodecError::Order);
        }
        self.points.push(point);
        Ok(())
    }
}

/// A page in the directory of a run.
#[derive(Clone, Copy, Debug)]
struct Page {
    first: Numbers,
    starts: Timestamp,
    /// How many there are.
    points: usize,
    /// Where its bytes begin and end, from where those of the first begin.
    begin: usize,
    end: usize,
}

/// A run in pages, none of which is decoded yet.
struct Pages<'a> {
    count: u64,
    scales: Scales,
    pages: Vec<Page>,
    times: ChunkDecompressor<i64>,
    temperatures: ChunkDecompressor<i64>,
    bytes: &'a [u8],
}

impl<'a> Pages<'a> {
    fn read(mut cursor: Cursor<'a>, count: u64, scales: Scales) -> Result<Self, CodecError> {
        let mut pages: Vec<Page> = Vec::new();
        let mut left = usize::try_from(count).map_err(|_| CodecError::OutOfRange)?;
        let (mut first, mut begin) = (Numbers::default(), 0usize);
        // Each takes a few bytes, so that a wrong count cannot ask for memory.
        while left > 0 {
            first = first.plus(cursor.signed()?, cursor.signed()?)?;
            let length = usize::try_from(cursor.unsigned()?).map_err(|_| CodecError::OutOfRange)?;
            let end = begin.checked_add(length).ok_or(CodecError::OutOfRange)?;
            let starts = scales.up(first)?.timestamp;
            if pages.last().is_some_and(|before| before.starts >= starts) {
                return Err(CodecError::Order);
            }
            let points = left.min(PAGE_POINTS);
            pages.push(Page {
                first,
                starts,
                points,
                begin,
                end,
            });
            left -= points;
            begin = end;
        }
        let damaged = |_| CodecError::Truncated;
        let (file, rest) = FileDecompressor::new(cursor.rest()).map_err(damaged)?;
        let (times, rest) = file.chunk_decompressor(rest).map_err(damaged)?;
        let (temperatures, bytes) = file.chunk_decompressor(rest).map_err(damaged)?;
        if bytes.len() == begin && !pages.is_empty() {
            Ok(Self {
                count,
                scales,
                pages,
                times,
                temperatures,
                bytes,
            })
        } else {
            Err(CodecError::Truncated)
        }
    }

    fn within(mut self, window: Window) -> Result<Part, CodecError> {
        // The last page that starts at or before the window's start may reach into it.
        let begin = window.from.map_or(0, |from| {
            let after = self.pages.partition_point(|page| page.starts <= from);
            after.saturating_sub(1)
        });
        let end = window.to.map_or(self.pages.len(), |to| {
            self.pages.partition_point(|page| page.starts < to)
        });
        let end = end.max(begin + 1);
        let mut points = Ascending::new(self.scales);
        points.points.reserve((end - begin) * PAGE_POINTS);
        let (mut times, mut temperatures) = ([0; PAGE_POINTS], [0; PAGE_POINTS]);
        for at in begin..end {
            let page = self.pages[at];
            let mut rest = self
                .bytes
                .get(page.begin..page.end)
                .ok_or(CodecError::Truncated)?;
            let differences = page.points - 1;
            if differences > 0 {
                rest = read_page(&mut self.times, rest, &mut times[..differences])?;
                rest = read_page(
                    &mut self.temperatures,
                    rest,
                    &mut temperatures[..differences],
                )?;
            }
            if !rest.is_empty() {
                return Err(CodecError::Truncated);
            }
            let mut numbers = page.first;
            points.push(numbers)?;
            for (&time, &temperature) in times.iter().zip(&temperatures).take(differences) {
                numbers = numbers.plus(time, temperature)?;
                points.push(numbers)?;
            }
        }
        let next = self.pages.get(end).map(|page| page.starts);
        let last = points.points.last().map(|point| point.timestamp);
        if next.is_some() && next <= last {
            return Err(CodecError::Order);
        }
        Ok(Part {
            count: self.count,
            first: self.pages[0].starts,
            points: points.points,
            next,
        })
    }
}

/// Decodes one column of a page; returns the bytes behind it.
fn read_page<'a>(
    column: &mut ChunkDecompressor<i64>,
    bytes: &'a [u8],
    differences: &mut [i64],
) -> Result<&'a [u8], CodecError> {
    let damaged = |_| CodecError::Truncated;
    let mut page = column
        .page_decompressor(bytes, differences.len())
        .map_err(damaged)?;
    let progress = page.read(differences).map_err(damaged)?;
    if progress.n_processed == differences.len() && progress.finished {
        Ok(page.into_src())
    } else {
        Err(CodecError::Truncated)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).unwrap()
    }

    fn point(micros: i64, micro_degrees: i64) -> Point {
        Point {
            timestamp: time(micros),
            temperature: Temperature::from_micro_degrees(micro_degrees).unwrap(),
        }
    }

    /// Short ones, and some of several pages.
    fn runs() -> impl Strategy<Value = Vec<Point>> {
        let scale = prop::sample::select(vec![1i64, 1000, 100_000, 1_000_000]);
        let temperatures = prop_oneof![-200i64..200, -273i64..1_000_000];
        let count = prop_oneof![4 => 1..300usize, 1 => 500..530usize, 1 => 1000..1100usize];
        let values = count.prop_flat_map(move |count| {
            prop::collection::btree_map(any::<i32>(), temperatures.clone(), count)
        });
        (scale.clone(), scale, values).prop_map(|(time, temperature, values)| {
            values
                .into_iter()
                .map(|(at, value)| point(i64::from(at) * time, value * temperature))
                .collect()
        })
    }

    /// What versions before pages wrote.
    fn encode_streams(points: &[Point]) -> Vec<u8> {
        let config = ChunkConfig::default()
            .with_compression_level(PCO_LEVEL)
            .with_mode_spec(ModeSpec::Classic)
            .with_delta_spec(DeltaSpec::TryConsecutive(1));
        let mut out = vec![FORMAT_STREAMS];
        put_unsigned(&mut out, points.len() as u64);
        out.extend([0, 0]);
        let times: Vec<_> = points.iter().map(|p| p.timestamp.micros()).collect();
        let temperatures: Vec<_> = points
            .iter()
            .map(|p| p.temperature.micro_degrees())
            .collect();
        for column in [times, temperatures] {
            let bytes = pco::standalone::simple_compress(&column, &config).unwrap();
            put_unsigned(&mut out, bytes.len() as u64);
            out.extend_from_slice(&bytes);
        }
        out
    }

    proptest! {
        #[test]
        fn a_run_reads_back_the_same(points in runs()) {
            prop_assert_eq!(decode_run(&encode_run(&points).unwrap()), Ok(points));
        }

        #[test]
        fn a_run_of_an_older_version_reads_back_the_same(points in runs()) {
            prop_assert_eq!(decode_run(&encode_streams(&points)), Ok(points));
        }

        #[test]
        fn a_part_of_a_run_is_what_the_whole_has_there(points in runs(), from: prop::sample::Index, length in 0usize..600, off in 0i64..3) {
            let from = from.index(points.len());
            let moment = |at: usize| points.get(at).map(|point| time(point.timestamp.micros() + off - 1));
            let window = Window { from: moment(from), to: moment(from + length) };
            for bytes in [encode_run(&points).unwrap(), encode_streams(&points)] {
                let part = decode_within(&bytes, window).unwrap();
                let first = points.iter().position(|point| *point == part.points[0]).unwrap();
                let end = first + part.points.len();
                prop_assert_eq!(&part.points, &points[first..end]);
                prop_assert_eq!(part.next, points.get(end).map(|point| point.timestamp));
                let missed = points[..first].iter().chain(&points[end..]).filter(|point| window.contains(point.timestamp));
                prop_assert_eq!(missed.count(), 0);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), format in 0u8..5) {
            if let Some(first) = bytes.first_mut() {
                *first = format;
            }
            let _ = decode_run(&bytes);
        }

        #[test]
        fn a_run_with_a_wrong_byte_never_panics(points in runs(), at: prop::sample::Index, byte: u8) {
            let mut bytes = encode_run(&points).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(points) = decode_run(&bytes) {
                prop_assert!(points.is_sorted_by(|one, other| one.timestamp < other.timestamp));
            }
        }
    }

    #[test]
    fn regular_readings_take_about_a_byte_each() {
        let points: Vec<_> = (0..4096)
            .map(|i| point(i * 1_000_000, 20_000_000 + (i * 7919 % 13) * 10_000))
            .collect();
        assert!(encode_run(&points).unwrap().len() < 4096);
    }

    #[test]
    fn pages_take_little_more_than_one_stream() {
        // A random walk at 1 Hz in tenths of a degree.
        let (mut random, mut tenths) = (0x9e37_79b9_7f4a_7c15_u64, 200);
        let points: Vec<_> = (0..4096)
            .map(|second| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                tenths += (random % 3) as i64 - 1;
                point(second * 1_000_000, tenths * 100_000)
            })
            .collect();
        let (pages, streams) = (encode_run(&points).unwrap(), encode_streams(&points));
        assert!(
            pages.len() * 100 <= streams.len() * 106,
            "{} and {}",
            pages.len(),
            streams.len()
        );
    }
}
