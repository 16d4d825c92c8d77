//! Bytes on disk: variable-length integers, runs of points, checksums. Pure functions; nothing here knows of SQLite.

use pco::standalone::{simple_compress, simple_decompress};
use pco::{ChunkConfig, DeltaSpec, ModeSpec};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::readings::{Point, Temperature, Timestamp};

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("it does not match its checksum")]
    Checksum,
    #[error("it is in a format this version does not know ({0})")]
    Format(u8),
    #[error("it is cut short")]
    Truncated,
    #[error("it holds a value out of range")]
    OutOfRange,
    #[error("its readings are not in order of time")]
    Order,
}

/// Bytes of the checksum at the end of a sealed block.
const CHECKSUM_BYTES: usize = 8;

/// Appends the checksum of everything in `bytes`, bound to `seed`: the same bytes in another place do not match.
pub(crate) fn append_checksum(bytes: &mut Vec<u8>, seed: u64) {
    let checksum = xxh3_64_with_seed(bytes, seed);
    bytes.extend_from_slice(&checksum.to_le_bytes());
}

/// The bytes before the checksum, if it matches.
pub(crate) fn checked(bytes: &[u8], seed: u64) -> Result<&[u8], CodecError> {
    let (body, checksum) = bytes
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(CodecError::Truncated)?;
    if xxh3_64_with_seed(body, seed) == u64::from_le_bytes(*checksum) {
        Ok(body)
    } else {
        Err(CodecError::Checksum)
    }
}

/// The checksum of some integers.
pub(crate) fn hash_integers(integers: &[u64]) -> u64 {
    let mut bytes = Vec::with_capacity(integers.len() * 8);
    for integer in integers {
        bytes.extend_from_slice(&integer.to_le_bytes());
    }
    xxh3_64_with_seed(&bytes, integers.len() as u64)
}

/// The checksum of a text that belongs to a number.
pub(crate) fn hash_text(number: u64, text: &str) -> u64 {
    xxh3_64_with_seed(text.as_bytes(), number)
}

/// LEB128: seven bits a byte, the lowest first.
pub(crate) fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Zigzag, so that small negative numbers are short too.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Reads what the `put_…` functions wrote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Result<u8, CodecError> {
        let (&byte, rest) = self.rest.split_first().ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, CodecError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(CodecError::OutOfRange)
    }

    pub(crate) fn signed(&mut self) -> Result<i64, CodecError> {
        let value = self.unsigned()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A count of items of at least one byte each: never more than there are bytes, so that a wrong one cannot ask for
    /// memory.
    pub(crate) fn count(&mut self) -> Result<usize, CodecError> {
        let count = self.unsigned()?;
        usize::try_from(count)
            .ok()
            .filter(|&count| count <= self.rest.len())
            .ok_or(CodecError::Truncated)
    }
}

/// The largest power of ten, up to 10⁶, that divides all of some numbers: whole seconds and tenths of a degree are stored
/// without the zeros that micro-units give them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale(u8);

impl Scale {
    const POWERS: [i64; 7] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];

    pub(crate) fn common(values: impl IntoIterator<Item = i64>) -> Self {
        let mut scale = Self(6);
        for value in values {
            while value % scale.factor() != 0 {
                scale.0 -= 1;
            }
            if scale.0 == 0 {
                break;
            }
        }
        scale
    }

    pub(crate) fn factor(self) -> i64 {
        Self::POWERS[usize::from(self.0)]
    }

    pub(crate) fn to_byte(self) -> u8 {
        self.0
    }

    pub(crate) fn from_byte(byte: u8) -> Result<Self, CodecError> {
        if usize::from(byte) < Self::POWERS.len() {
            Ok(Self(byte))
        } else {
            Err(CodecError::OutOfRange)
        }
    }

    pub(crate) fn scale_up(self, value: i64) -> Result<i64, CodecError> {
        value
            .checked_mul(self.factor())
            .ok_or(CodecError::OutOfRange)
    }
}

/// Differences as variable-length integers: shorter than pco's headers for a few dozen points.
const FORMAT_DELTAS: u8 = 1;
/// Two pco streams, timestamps and temperatures.
const FORMAT_PCO: u8 = 2;

/// From how many points on pco is the shorter one.
const PCO_POINTS_MIN: usize = 64;

/// Higher levels take longer and save nothing here: the numbers are scaled and differenced already.
const PCO_LEVEL: usize = 4;

/// Encodes points, which are in strictly ascending order of time, and are at least one.
pub(crate) fn encode_run(points: &[Point]) -> Result<Vec<u8>, CodecError> {
    let times = Scale::common(points.iter().map(|point| point.timestamp.micros()));
    let temperatures = Scale::common(points.iter().map(|point| point.temperature.micro_degrees()));
    let mut out = Vec::with_capacity(32 + points.len() * 2);
    let pco = points.len() >= PCO_POINTS_MIN;
    out.push(if pco { FORMAT_PCO } else { FORMAT_DELTAS });
    put_unsigned(&mut out, points.len() as u64);
    out.push(times.to_byte());
    out.push(temperatures.to_byte());
    if pco {
        let config = ChunkConfig::default()
            .with_compression_level(PCO_LEVEL)
            .with_mode_spec(ModeSpec::Classic)
            .with_delta_spec(DeltaSpec::TryConsecutive(1));
        let mut column = Vec::with_capacity(points.len());
        column.extend(
            points
                .iter()
                .map(|point| point.timestamp.micros() / times.factor()),
        );
        // The configuration is a constant that pco accepts, and it accepts any numbers.
        let compressed = simple_compress(&column, &config).map_err(|_| CodecError::OutOfRange)?;
        put_unsigned(&mut out, compressed.len() as u64);
        out.extend_from_slice(&compressed);
        column.clear();
        column.extend(
            points
                .iter()
                .map(|point| point.temperature.micro_degrees() / temperatures.factor()),
        );
        let compressed = simple_compress(&column, &config).map_err(|_| CodecError::OutOfRange)?;
        put_unsigned(&mut out, compressed.len() as u64);
        out.extend_from_slice(&compressed);
    } else {
        let (mut time, mut temperature) = (0, 0);
        for point in points {
            let next = point.timestamp.micros() / times.factor();
            put_signed(&mut out, next - time);
            time = next;
            let next = point.temperature.micro_degrees() / temperatures.factor();
            put_signed(&mut out, next - temperature);
            temperature = next;
        }
    }
    Ok(out)
}

/// Decodes what [`encode_run`] wrote. Any other bytes give an error, never a panic and never points out of order.
pub(crate) fn decode_run(bytes: &[u8]) -> Result<Vec<Point>, CodecError> {
    let mut cursor = Cursor::new(bytes);
    let format = cursor.byte()?;
    if format != FORMAT_DELTAS && format != FORMAT_PCO {
        return Err(CodecError::Format(format));
    }
    let count = cursor.unsigned()?;
    let times = Scale::from_byte(cursor.byte()?)?;
    let temperatures = Scale::from_byte(cursor.byte()?)?;
    let mut points: Vec<Point> = Vec::new();
    let mut push = |time: i64, temperature: i64| {
        let point = Point {
            timestamp: Timestamp::from_micros(times.scale_up(time)?)
                .ok_or(CodecError::OutOfRange)?,
            temperature: Temperature::from_micro_degrees(temperatures.scale_up(temperature)?)
                .ok_or(CodecError::OutOfRange)?,
        };
        if points
            .last()
            .is_some_and(|last| last.timestamp >= point.timestamp)
        {
            return Err(CodecError::Order);
        }
        points.push(point);
        Ok(())
    };
    if format == FORMAT_PCO {
        let times = decode_column(&mut cursor)?;
        let temperatures = decode_column(&mut cursor)?;
        if times.len() != temperatures.len() {
            return Err(CodecError::Truncated);
        }
        for (time, temperature) in times.into_iter().zip(temperatures) {
            push(time, temperature)?;
        }
    } else {
        let (mut time, mut temperature) = (0i64, 0i64);
        for _ in 0..count {
            time = time
                .checked_add(cursor.signed()?)
                .ok_or(CodecError::OutOfRange)?;
            temperature = temperature
                .checked_add(cursor.signed()?)
                .ok_or(CodecError::OutOfRange)?;
            push(time, temperature)?;
        }
    }
    if points.len() as u64 == count && cursor.is_at_end() {
        Ok(points)
    } else {
        Err(CodecError::Truncated)
    }
}

fn decode_column(cursor: &mut Cursor<'_>) -> Result<Vec<i64>, CodecError> {
    let length = cursor.count()?;
    simple_decompress(cursor.bytes(length)?).map_err(|_| CodecError::Truncated)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(micros: i64, micro_degrees: i64) -> Point {
        Point {
            timestamp: Timestamp::from_micros(micros).unwrap(),
            temperature: Temperature::from_micro_degrees(micro_degrees).unwrap(),
        }
    }

    fn runs() -> impl Strategy<Value = Vec<Point>> {
        let scale = prop::sample::select(vec![1i64, 1000, 100_000, 1_000_000]);
        let temperatures = prop_oneof![-200i64..200, -273i64..1_000_000];
        (
            scale.clone(),
            scale,
            prop::collection::btree_map(any::<i32>(), temperatures, 1..300),
        )
            .prop_map(|(time, temperature, values)| {
                values
                    .into_iter()
                    .map(|(at, value)| point(i64::from(at) * time, value * temperature))
                    .collect()
            })
    }

    proptest! {
        #[test]
        fn a_run_reads_back_the_same(points in runs()) {
            prop_assert_eq!(decode_run(&encode_run(&points).unwrap()), Ok(points));
        }

        #[test]
        fn signed_integers_read_back_the_same(value: i64) {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, value);
            prop_assert_eq!(Cursor::new(&bytes).signed(), Ok(value));
        }

        #[test]
        fn any_flipped_bit_is_detected(points in runs(), seed: u64, at: prop::sample::Index, bit in 0u8..8) {
            let mut bytes = encode_run(&points).unwrap();
            append_checksum(&mut bytes, seed);
            prop_assert!(checked(&bytes, seed).is_ok());
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(checked(&bytes, seed), Err(CodecError::Checksum));
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), format in 0u8..4) {
            if let Some(first) = bytes.first_mut() {
                *first = format;
            }
            let _ = decode_run(&bytes);
        }
    }

    #[test]
    fn regular_readings_take_about_a_byte_each() {
        let points: Vec<_> = (0..4096)
            .map(|i| point(i * 1_000_000, 20_000_000 + (i * 7919 % 13) * 10_000))
            .collect();
        assert!(encode_run(&points).unwrap().len() < 4096);
    }
}
