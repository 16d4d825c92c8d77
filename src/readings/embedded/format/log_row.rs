//! The bytes of a log row: the readings changed by a commit, each with the final temperature.

use super::codec::{self, CodecError, Cursor, Scale, put_signed, put_unsigned};
use crate::readings::{Point, Temperature, Timestamp};

/// The format without flags and replaced temperatures. Only read.
const FORMAT_1: u8 = 1;
const FORMAT: u8 = 2;

/// Set if the readings of the row were logged before.
const FLAG_CARRIED: u8 = 1;

/// The kind of readings in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Content {
    /// Readings from clients.
    #[default]
    New,
    /// Readings of older rows; the older rows can be removed afterwards. None of the readings is new.
    Carried,
}

/// The readings of one sensor in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) sensor: u32,
    /// In strictly ascending order of time.
    pub(crate) points: &'a [Point],
    /// For each point that replaces a stored reading, in the same order: the timestamp, and the temperature stored before.
    pub(crate) replaced: &'a [(Timestamp, Temperature)],
}

/// The runs of a row.
pub(crate) trait Runs {
    fn for_each(&self, visit: &mut dyn FnMut(Run<'_>));
}

impl Runs for [(u32, Vec<Point>)] {
    fn for_each(&self, visit: &mut dyn FnMut(Run<'_>)) {
        for (sensor, points) in self {
            visit(Run {
                sensor: *sensor,
                points,
                replaced: &[],
            });
        }
    }
}

/// Encodes a row. The checksum depends on `sequence`, so a row in the wrong place is detected.
pub(crate) fn encode_row(sequence: u64, content: Content, runs: &(impl Runs + ?Sized)) -> Vec<u8> {
    let mut run_count = 0u64;
    let mut point_count = 0;
    let mut times = ScaleFinder::default();
    let mut temperatures = ScaleFinder::default();
    runs.for_each(&mut |run| {
        run_count += 1;
        point_count += run.points.len();
        for point in run.points {
            times.look_at(point.timestamp.micros());
            temperatures.look_at(point.temperature.micro_degrees());
        }
        for (_, before) in run.replaced {
            temperatures.look_at(before.micro_degrees());
        }
    });
    let (times, temperatures) = (times.scale(), temperatures.scale());
    let mut out = Vec::with_capacity(32 + point_count * 8);
    out.push(FORMAT);
    out.push(match content {
        Content::New => 0,
        Content::Carried => FLAG_CARRIED,
    });
    out.push(times.to_byte());
    out.push(temperatures.to_byte());
    put_unsigned(&mut out, run_count);
    let (mut number, mut time, mut temperature) = (0, 0, 0);
    let (mut at, mut all_replaced) = (0u64, Vec::new());
    runs.for_each(&mut |run| {
        let mut replaced = run.replaced.iter().peekable();
        put_signed(&mut out, i64::from(run.sensor) - number);
        number = i64::from(run.sensor);
        put_unsigned(&mut out, run.points.len() as u64);
        for point in run.points {
            let next = point.timestamp.micros() / times.factor();
            put_signed(&mut out, next - time);
            time = next;
            let next = point.temperature.micro_degrees() / temperatures.factor();
            put_signed(&mut out, next - temperature);
            temperature = next;
            if let Some((_, before)) =
                replaced.next_if(|(timestamp, _)| *timestamp == point.timestamp)
            {
                all_replaced.push((at, before.micro_degrees() / temperatures.factor()));
            }
            at += 1;
        }
    });
    put_unsigned(&mut out, all_replaced.len() as u64);
    let (mut at, mut temperature) = (0, 0);
    for (next_at, next) in all_replaced {
        put_unsigned(&mut out, next_at - at);
        at = next_at;
        put_signed(&mut out, next - temperature);
        temperature = next;
    }
    codec::append_checksum(&mut out, sequence);
    out
}

/// A decoded row. Its memory is reused for the next row.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) content: Content,
    /// Whether `replaced` is complete. Rows of the older format do not record replaced temperatures.
    pub(crate) records_replaced: bool,
    /// Readings with their sensor numbers.
    pub(crate) readings: Vec<(u32, Point)>,
    /// For each reading that replaced a stored reading, in ascending order: the index in `readings`, and the temperature stored
    /// before.
    pub(crate) replaced: Vec<(usize, Temperature)>,
}

/// Decodes a row.
pub(crate) fn decode_row(sequence: u64, bytes: &[u8], row: &mut Row) -> Result<(), CodecError> {
    let mut cursor = Cursor::new(codec::checked(bytes, sequence)?);
    let format = cursor.byte()?;
    row.records_replaced = match format {
        FORMAT_1 => false,
        FORMAT => true,
        _ => return Err(CodecError::Format(format)),
    };
    row.content = match format {
        FORMAT_1 => Content::New,
        _ => match cursor.byte()? {
            0 => Content::New,
            FLAG_CARRIED => Content::Carried,
            _ => return Err(CodecError::OutOfRange),
        },
    };
    let times = Scale::from_byte(cursor.byte()?)?;
    let temperatures = Scale::from_byte(cursor.byte()?)?;
    let temperature_of = |scaled: i64| {
        let micro_degrees = temperatures.scale_up(scaled)?;
        Temperature::from_micro_degrees(micro_degrees).ok_or(CodecError::OutOfRange)
    };
    let runs = cursor.count()?;
    row.readings.clear();
    let (mut number, mut time, mut temperature) = (0i64, 0i64, 0i64);
    for _ in 0..runs {
        number = add(number, cursor.signed()?)?;
        let sensor = u32::try_from(number).map_err(|_| CodecError::OutOfRange)?;
        for _ in 0..cursor.count()? {
            time = add(time, cursor.signed()?)?;
            temperature = add(temperature, cursor.signed()?)?;
            let point = Point {
                timestamp: Timestamp::from_micros(times.scale_up(time)?)
                    .ok_or(CodecError::OutOfRange)?,
                temperature: temperature_of(temperature)?,
            };
            row.readings.push((sensor, point));
        }
    }
    row.replaced.clear();
    if format != FORMAT_1 {
        let (mut at, mut temperature) = (0u64, 0i64);
        for entry in 0..cursor.count()? {
            let step = cursor.unsigned()?;
            if step == 0 && entry > 0 {
                return Err(CodecError::OutOfRange);
            }
            at = at.checked_add(step).ok_or(CodecError::OutOfRange)?;
            temperature = add(temperature, cursor.signed()?)?;
            let index = usize::try_from(at)
                .ok()
                .filter(|&index| index < row.readings.len())
                .ok_or(CodecError::OutOfRange)?;
            row.replaced.push((index, temperature_of(temperature)?));
        }
    }
    if cursor.is_at_end() {
        Ok(())
    } else {
        Err(CodecError::Truncated)
    }
}

fn add(value: i64, difference: i64) -> Result<i64, CodecError> {
    value.checked_add(difference).ok_or(CodecError::OutOfRange)
}

/// Finds the [`Scale`] of a sequence of numbers.
#[derive(Default)]
struct ScaleFinder(Option<Scale>);

impl ScaleFinder {
    fn look_at(&mut self, value: i64) {
        let so_far = self.0.map_or(0, Scale::factor);
        if so_far != 1 {
            self.0 = Some(Scale::common([so_far, value]));
        }
    }

    fn scale(&self) -> Scale {
        self.0.unwrap_or(Scale::common([]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A sensor's points, and the temperatures that some of the points replace.
    type OwnedRun = (u32, Vec<Point>, Vec<(Timestamp, Temperature)>);

    struct Replacing(Vec<OwnedRun>);

    impl Runs for Replacing {
        fn for_each(&self, visit: &mut dyn FnMut(Run<'_>)) {
            for (sensor, points, replaced) in &self.0 {
                visit(Run {
                    sensor: *sensor,
                    points,
                    replaced,
                });
            }
        }
    }

    fn runs() -> impl Strategy<Value = Vec<OwnedRun>> {
        let scale = prop::sample::select(vec![1i64, 10_000, 1_000_000]);
        let value = -200i64..200;
        let points = prop::collection::btree_map(
            any::<i32>(),
            (value.clone(), prop::option::weighted(0.2, value)),
            1..6,
        );
        (scale, prop::collection::vec((any::<u32>(), points), 0..20)).prop_map(|(scale, runs)| {
            let temperature = |value: i64| Temperature::from_micro_degrees(value * scale).unwrap();
            let timestamp = |at: i32| Timestamp::from_micros(i64::from(at) * scale).unwrap();
            runs.into_iter()
                .map(|(sensor, values)| {
                    let points = values.iter().map(|(&at, &(value, _))| Point {
                        timestamp: timestamp(at),
                        temperature: temperature(value),
                    });
                    let replaced = values.iter().filter_map(|(&at, &(_, before))| {
                        Some((timestamp(at), temperature(before?)))
                    });
                    (sensor, points.collect(), replaced.collect())
                })
                .collect()
        })
    }

    fn read(sequence: u64, bytes: &[u8]) -> Result<Row, CodecError> {
        let mut row = Row::default();
        decode_row(sequence, bytes, &mut row).map(|()| row)
    }

    proptest! {
        #[test]
        fn a_row_reads_back_the_same(runs in runs(), sequence: u64, carried: bool) {
            let content = if carried { Content::Carried } else { Content::New };
            let runs = Replacing(runs);
            let bytes = encode_row(sequence, content, &runs);
            let row = read(sequence, &bytes).unwrap();
            prop_assert_eq!(row.content, content);
            prop_assert!(row.records_replaced);
            let replaced: Vec<_> = row
                .replaced
                .iter()
                .map(|&(at, before)| (row.readings[at].0, row.readings[at].1.timestamp, before))
                .collect();
            let of_each = |run: &OwnedRun| run.2.iter().map(|&(at, before)| (run.0, at, before)).collect::<Vec<_>>();
            prop_assert_eq!(replaced, runs.0.iter().flat_map(of_each).collect::<Vec<_>>());
            let of_each = |run: &OwnedRun| run.1.iter().map(|&point| (run.0, point)).collect::<Vec<_>>();
            prop_assert_eq!(row.readings, runs.0.iter().flat_map(of_each).collect::<Vec<_>>());
            prop_assert_eq!(read(sequence.wrapping_add(1), &bytes).unwrap_err(), CodecError::Checksum);
        }

        #[test]
        fn arbitrary_bytes_with_a_right_checksum_never_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..100),
            format in prop::sample::select(vec![FORMAT_1, FORMAT]),
        ) {
            if let Some(first) = bytes.first_mut() {
                *first = format;
            }
            codec::append_checksum(&mut bytes, 7);
            let _ = read(7, &bytes);
        }
    }

    #[test]
    fn a_row_of_the_first_format_is_still_read() {
        // A run of sensor 3: two readings, at 1 s and 3 s, of 20 and 19 degrees.
        let mut bytes = vec![FORMAT_1, 6, 6, 1, 6, 2, 2, 40, 4, 1];
        codec::append_checksum(&mut bytes, 5);
        let row = read(5, &bytes).unwrap();
        let point = |at: i64, value: i64| Point {
            timestamp: Timestamp::from_micros(at * 1_000_000).unwrap(),
            temperature: Temperature::from_micro_degrees(value * 1_000_000).unwrap(),
        };
        assert_eq!(row.readings, [(3, point(1, 20)), (3, point(3, 19))]);
        assert!(!row.records_replaced && row.replaced.is_empty());
        assert_eq!(row.content, Content::New);
    }

    #[test]
    fn a_single_reading_takes_two_bytes_more_than_in_the_first_format() {
        let point = Point {
            timestamp: Timestamp::from_micros(1_000_000).unwrap(),
            temperature: Temperature::from_micro_degrees(20_000_000).unwrap(),
        };
        let bytes = encode_row(5, Content::New, [(3, vec![point])].as_slice());
        let first_format = [FORMAT_1, 6, 6, 1, 6, 1, 2, 40].len() + 8;
        assert_eq!(bytes.len(), first_format + 2);
    }

    #[test]
    fn a_replaced_reading_that_is_not_in_the_row_is_refused() {
        for replaced in [&[1u8, 1, 2][..], &[2, 0, 2, 0, 2], &[1, 0]] {
            let mut bytes = vec![FORMAT, 0, 6, 6, 1, 6, 1, 2, 40];
            bytes.extend_from_slice(replaced);
            codec::append_checksum(&mut bytes, 5);
            assert!(read(5, &bytes).is_err(), "{replaced:?}");
        }
    }
}
