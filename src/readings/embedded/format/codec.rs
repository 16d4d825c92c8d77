//! Bytes on disk: variable-length integers, scales, checksums. Pure functions.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Why bytes cannot be decoded.
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

/// The length of the checksum at the end of a block.
const CHECKSUM_BYTES: usize = 8;

/// Appends the checksum of `bytes`. The seed binds the checksum to a position: the same bytes elsewhere do not match.
pub(crate) fn append_checksum(bytes: &mut Vec<u8>, seed: u64) {
    let checksum = xxh3_64_with_seed(bytes, seed);
    bytes.extend_from_slice(&checksum.to_le_bytes());
}

/// The bytes before the checksum, if the checksum matches.
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

/// The checksum of integers. The number of integers is a part of the checksum.
pub(crate) fn hash_integers(integers: &[u64]) -> u64 {
    let mut bytes = Vec::with_capacity(integers.len() * 8);
    for integer in integers {
        bytes.extend_from_slice(&integer.to_le_bytes());
    }
    xxh3_64_with_seed(&bytes, integers.len() as u64)
}

/// The checksum of a text with a number.
pub(crate) fn hash_text(number: u64, text: &str) -> u64 {
    xxh3_64_with_seed(text.as_bytes(), number)
}

/// Appends an integer in LEB128: seven bits a byte, the lowest first.
pub(crate) fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends an integer in zigzag form, so small negative numbers are short too.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Reads integers written by [`put_unsigned`] and [`put_signed`].
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

    /// The bytes after the position of the cursor.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
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

    /// Reads a count of items of at least one byte each. A count above the number of remaining bytes is an error, so a wrong count
    /// cannot allocate memory.
    pub(crate) fn count(&mut self) -> Result<usize, CodecError> {
        let count = self.unsigned()?;
        usize::try_from(count)
            .ok()
            .filter(|&count| count <= self.rest.len())
            .ok_or(CodecError::Truncated)
    }
}

/// The largest power of ten, up to 10⁶, that divides every number of a set. Whole seconds and tenths of a degree are stored
/// without the zeros of their micro-units.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn signed_integers_read_back_the_same(value: i64) {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, value);
            prop_assert_eq!(Cursor::new(&bytes).signed(), Ok(value));
        }

        #[test]
        fn any_flipped_bit_is_detected(mut bytes in prop::collection::vec(any::<u8>(), 0..300), seed: u64, at: prop::sample::Index, bit in 0u8..8) {
            append_checksum(&mut bytes, seed);
            prop_assert!(checked(&bytes, seed).is_ok());
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(checked(&bytes, seed), Err(CodecError::Checksum));
        }
    }
}
