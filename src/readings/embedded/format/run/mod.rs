//! The bytes of a run of points, as stored in a chunk. Pure functions.
//!
//! A long run consists of pages. The pages share the tables of the compression, and each page can be decoded alone: a lookup of a
//! single timestamp decodes a few hundred points, not thousands.

mod pages;
mod scaled;

use pco::standalone::simple_decompress;

use self::pages::Pages;
use self::scaled::{AscendingPoints, ScaledPoint, Scales};
use super::codec::{CodecError, Cursor, Scale, put_signed, put_unsigned};
use crate::readings::{Point, Timestamp, Window};

/// Differences as variable-length integers. Shorter than the headers of pco for a few dozen points.
const FORMAT_DELTAS: u8 = 1;
/// Two pco streams: timestamps and temperatures. Only read; new chunks are written as pages.
const FORMAT_STREAMS: u8 = 2;
/// A directory of pages, and for each page the differences of timestamps and temperatures, compressed by pco.
const FORMAT_PAGES: u8 = 3;

/// From this number of points on, pco is shorter.
const PCO_POINTS_MIN: usize = 64;

/// Consecutive points of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The number of points in the whole run, and the timestamp of the first point.
    pub(crate) count: u64,
    pub(crate) first: Timestamp,
    /// In strictly ascending order of time.
    pub(crate) points: Vec<Point>,
    /// The timestamp of the next point of the run, if any.
    pub(crate) next: Option<Timestamp>,
}

/// Encodes points. `points` is not empty and in strictly ascending order of time.
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
        pages::write(&mut out, points, scales)?;
    } else {
        let mut before = ScaledPoint::default();
        for point in points {
            let numbers = scales.down(point);
            put_signed(&mut out, numbers.time - before.time);
            put_signed(&mut out, numbers.temperature - before.temperature);
            before = numbers;
        }
    }
    Ok(out)
}

/// Decodes a whole run.
#[cfg(any(test, fuzzing))]
pub(crate) fn decode_run(bytes: &[u8]) -> Result<Vec<Point>, CodecError> {
    decode_within(bytes, Window::ALL).map(|part| part.points)
}

/// Decodes the pages of a run that reach into a window, at least one page; all points of a run without pages. Any other bytes
/// give an error, never a panic, and never points out of order.
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
    let mut points = AscendingPoints::new(scales);
    if format == FORMAT_STREAMS {
        let times = stream(&mut cursor)?;
        let temperatures = stream(&mut cursor)?;
        if times.len() != temperatures.len() {
            return Err(CodecError::Truncated);
        }
        for (time, temperature) in times.into_iter().zip(temperatures) {
            points.push(ScaledPoint { time, temperature })?;
        }
    } else {
        let mut numbers = ScaledPoint::default();
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

#[cfg(test)]
mod tests {
    use pco::{ChunkConfig, DeltaSpec, ModeSpec};
    use proptest::prelude::*;

    use super::*;
    use crate::readings::Temperature;

    fn time(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).unwrap()
    }

    fn point(micros: i64, micro_degrees: i64) -> Point {
        Point {
            timestamp: time(micros),
            temperature: Temperature::from_micro_degrees(micro_degrees).unwrap(),
        }
    }

    /// Short runs, and some of several pages.
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

    /// The encoding of versions without pages.
    fn encode_streams(points: &[Point]) -> Vec<u8> {
        let config = ChunkConfig::default()
            .with_compression_level(pages::PCO_LEVEL)
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
            let timestamp = |at: usize| points.get(at).map(|point| time(point.timestamp.micros() + off - 1));
            let window = Window { from: timestamp(from), to: timestamp(from + length) };
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
