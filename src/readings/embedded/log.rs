//! One row of the ingest log: everything that one commit changed, final value by reading.

use super::codec::{self, CodecError, Cursor, Scale, put_signed, put_unsigned};
use crate::readings::{Point, Temperature, Timestamp};

const FORMAT: u8 = 1;

/// Runs of points that go into one row, by sensor number.
pub(crate) trait Runs {
    /// Calls `visit` for each sensor's points, which are in ascending order of time.
    fn for_each(&self, visit: &mut dyn FnMut(u32, &[Point]));
}

impl Runs for [(u32, Vec<Point>)] {
    fn for_each(&self, visit: &mut dyn FnMut(u32, &[Point])) {
        for (sensor, points) in self {
            visit(*sensor, points);
        }
    }
}

/// Encodes a row. The checksum is bound to `sequence`, so that a row in another's place is found out.
pub(crate) fn encode_row(sequence: u64, runs: &(impl Runs + ?Sized)) -> Vec<u8> {
    let mut run_count = 0u64;
    let mut point_count = 0;
    let mut times = ScaleFinder::default();
    let mut temperatures = ScaleFinder::default();
    runs.for_each(&mut |_, points| {
        run_count += 1;
        point_count += points.len();
        for point in points {
            times.look_at(point.timestamp.micros());
            temperatures.look_at(point.temperature.micro_degrees());
        }
    });
    let (times, temperatures) = (times.scale(), temperatures.scale());
    let mut out = Vec::with_capacity(32 + point_count * 8);
    out.push(FORMAT);
    out.push(times.to_byte());
    out.push(temperatures.to_byte());
    put_unsigned(&mut out, run_count);
    let (mut number, mut time, mut temperature) = (0, 0, 0);
    runs.for_each(&mut |sensor, points| {
        put_signed(&mut out, i64::from(sensor) - number);
        number = i64::from(sensor);
        put_unsigned(&mut out, points.len() as u64);
        for point in points {
            let next = point.timestamp.micros() / times.factor();
            put_signed(&mut out, next - time);
            time = next;
            let next = point.temperature.micro_degrees() / temperatures.factor();
            put_signed(&mut out, next - temperature);
            temperature = next;
        }
    });
    codec::append_checksum(&mut out, sequence);
    out
}

/// Decodes a row, calling `visit` for each reading in order; returns how many there were.
pub(crate) fn decode_row(
    sequence: u64,
    bytes: &[u8],
    visit: &mut dyn FnMut(u32, Point),
) -> Result<u64, CodecError> {
    let mut cursor = Cursor::new(codec::checked(bytes, sequence)?);
    let format = cursor.byte()?;
    if format != FORMAT {
        return Err(CodecError::Format(format));
    }
    let times = Scale::from_byte(cursor.byte()?)?;
    let temperatures = Scale::from_byte(cursor.byte()?)?;
    let runs = cursor.count()?;
    let mut readings = 0;
    let (mut number, mut time, mut temperature) = (0i64, 0i64, 0i64);
    for _ in 0..runs {
        number = number
            .checked_add(cursor.signed()?)
            .ok_or(CodecError::OutOfRange)?;
        let sensor = u32::try_from(number).map_err(|_| CodecError::OutOfRange)?;
        for _ in 0..cursor.count()? {
            time = time
                .checked_add(cursor.signed()?)
                .ok_or(CodecError::OutOfRange)?;
            temperature = temperature
                .checked_add(cursor.signed()?)
                .ok_or(CodecError::OutOfRange)?;
            let point = Point {
                timestamp: Timestamp::from_micros(times.scale_up(time)?)
                    .ok_or(CodecError::OutOfRange)?,
                temperature: Temperature::from_micro_degrees(temperatures.scale_up(temperature)?)
                    .ok_or(CodecError::OutOfRange)?,
            };
            visit(sensor, point);
            readings += 1;
        }
    }
    if cursor.is_at_end() {
        Ok(readings)
    } else {
        Err(CodecError::Truncated)
    }
}

/// Finds a [`Scale`] for numbers that come one by one.
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

    fn rows() -> impl Strategy<Value = Vec<(u32, Vec<Point>)>> {
        let scale = prop::sample::select(vec![1i64, 10_000, 1_000_000]);
        let points = prop::collection::vec((any::<i32>(), -200i64..200), 1..6);
        (scale, prop::collection::vec((any::<u32>(), points), 0..20)).prop_map(|(scale, runs)| {
            let point = |(at, value): (i32, i64)| Point {
                timestamp: Timestamp::from_micros(i64::from(at) * scale).unwrap(),
                temperature: Temperature::from_micro_degrees(value * scale).unwrap(),
            };
            runs.into_iter()
                .map(|(sensor, points)| (sensor, points.into_iter().map(point).collect()))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn a_row_reads_back_the_same(rows in rows(), sequence: u64) {
            let bytes = encode_row(sequence, rows.as_slice());
            let mut read = Vec::new();
            let count = decode_row(sequence, &bytes, &mut |sensor, point| read.push((sensor, point)));
            let expected: Vec<_> = rows
                .iter()
                .flat_map(|(sensor, points)| points.iter().map(|point| (*sensor, *point)))
                .collect();
            prop_assert_eq!(count, Ok(expected.len() as u64));
            prop_assert_eq!(read, expected);
            prop_assert_eq!(
                decode_row(sequence.wrapping_add(1), &bytes, &mut |_, _| {}),
                Err(CodecError::Checksum)
            );
        }

        #[test]
        fn arbitrary_bytes_with_a_right_checksum_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(first) = bytes.first_mut() {
                *first = FORMAT;
            }
            codec::append_checksum(&mut bytes, 7);
            let _ = decode_row(7, &bytes, &mut |_, _| {});
        }
    }
}
