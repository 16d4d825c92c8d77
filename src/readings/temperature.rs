//! Temperatures: integers of micro-degrees, parsed from decimal text exactly and written as the same decimal text.

use std::fmt;
use std::str::FromStr;

/// A temperature in micro-degrees (1 µ° = 10⁻⁶ degree), degrees Celsius by convention.
///
/// Always within [`Temperature::MIN`] and [`Temperature::MAX`]. Text is parsed exactly, never through a floating-point
/// number; digits finer than a micro-degree are rounded half to even.
///
/// ```
/// use fieldstation::readings::Temperature;
/// let t: Temperature = "21.50".parse()?;
/// assert_eq!(t.micro_degrees(), 21_500_000);
/// assert_eq!(t.to_string(), "21.5");
/// assert_eq!("0.0000005".parse::<Temperature>()?.micro_degrees(), 0); // half, to even
/// assert_eq!("0.0000015".parse::<Temperature>()?.micro_degrees(), 2);
/// assert!("1e400".parse::<Temperature>().is_err());
/// assert!("NaN".parse::<Temperature>().is_err());
/// # Ok::<(), fieldstation::readings::TemperatureError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Temperature(i64);

/// Why a text is not a temperature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemperatureError {
    /// The text is not a decimal number.
    #[error("is not a number; send degrees Celsius such as 21.5")]
    NotANumber,
    /// The number is outside the accepted range.
    #[error("is outside -273.15 to 1000000 degrees Celsius")]
    OutOfRange,
}

impl Temperature {
    /// Absolute zero, −273.15 °C.
    pub const MIN: Self = Self(-273_150_000);
    /// 1 000 000 °C.
    pub const MAX: Self = Self(1_000_000_000_000);

    /// The temperature of so many micro-degrees, or `None` outside the accepted range.
    pub const fn from_micro_degrees(micro_degrees: i64) -> Option<Self> {
        if micro_degrees < Self::MIN.0 || micro_degrees > Self::MAX.0 {
            None
        } else {
            Some(Self(micro_degrees))
        }
    }

    /// The exact value in micro-degrees.
    pub const fn micro_degrees(self) -> i64 {
        self.0
    }

    /// Parses a JSON number, and numbers that devices print: with a leading `+`, leading zeros, or a decimal point without a digit before or
    /// after it.
    ///
    /// # Errors
    /// [`TemperatureError::NotANumber`] for any other text, [`TemperatureError::OutOfRange`] for a number that is too
    /// cold or too hot.
    pub fn parse(text: &[u8]) -> Result<Self, TemperatureError> {
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let decimal = Decimal::read(unsigned)?;
        let magnitude = decimal
            .micro_degrees()
            .ok_or(TemperatureError::OutOfRange)?;
        let signed = if negative { -magnitude } else { magnitude };
        Self::from_micro_degrees(signed).ok_or(TemperatureError::OutOfRange)
    }

    /// Appends the shortest decimal text that reads back the same.
    pub fn write_to(self, out: &mut Vec<u8>) {
        let mut buffer = [0u8; 24];
        out.extend_from_slice(self.format(&mut buffer));
    }

    fn format(self, buffer: &mut [u8; 24]) -> &[u8] {
        let magnitude = self.0.unsigned_abs();
        let mut whole = magnitude / 1_000_000;
        let mut fraction = magnitude % 1_000_000;
        let mut at = buffer.len();
        if fraction != 0 {
            let mut digits = 6;
            while fraction.is_multiple_of(10) {
                fraction /= 10;
                digits -= 1;
            }
            for _ in 0..digits {
                at -= 1;
                buffer[at] = b'0' + (fraction % 10) as u8;
                fraction /= 10;
            }
            at -= 1;
            buffer[at] = b'.';
        }
        loop {
            at -= 1;
            buffer[at] = b'0' + (whole % 10) as u8;
            whole /= 10;
            if whole == 0 {
                break;
            }
        }
        if self.0 < 0 {
            at -= 1;
            buffer[at] = b'-';
        }
        &buffer[at..]
    }
}

impl FromStr for Temperature {
    type Err = TemperatureError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for Temperature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0u8; 24];
        f.write_str(std::str::from_utf8(self.format(&mut buffer)).unwrap_or_default())
    }
}

/// An unsigned decimal number as its leading significant digits and a power of ten.
struct Decimal {
    /// At most [`Decimal::DIGITS_MAX`] significant digits.
    digits: u64,
    /// The value is `digits × 10^exponent`, plus something smaller than one unit of the last digit if `inexact`.
    exponent: i64,
    /// Whether a non-zero digit was left out of `digits`.
    inexact: bool,
}

impl Decimal {
    /// 18 digits fit a `u64` and are more than the 13 that the range at micro-degrees needs.
    const DIGITS_MAX: u32 = 18;

    fn read(text: &[u8]) -> Result<Self, TemperatureError> {
        let mut decimal = Self {
            digits: 0,
            exponent: 0,
            inexact: false,
        };
        let mut kept = 0;
        let mut seen_digit = false;
        let mut seen_point = false;
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            match byte {
                b'0'..=b'9' => {
                    seen_digit = true;
                    if kept < Self::DIGITS_MAX {
                        decimal.digits = decimal.digits * 10 + u64::from(byte - b'0');
                        kept += u32::from(decimal.digits != 0);
                        decimal.exponent -= i64::from(seen_point);
                    } else {
                        decimal.inexact |= byte != b'0';
                        decimal.exponent += i64::from(!seen_point);
                    }
                }
                b'.' if !seen_point => seen_point = true,
                _ => break,
            }
            at += 1;
        }
        if !seen_digit {
            return Err(TemperatureError::NotANumber);
        }
        match &text[at..] {
            [] => {}
            [b'e' | b'E', exponent @ ..] => decimal.exponent += Self::read_exponent(exponent)?,
            _ => return Err(TemperatureError::NotANumber),
        }
        Ok(decimal)
    }

    /// Saturates: an exponent of a million digits is only "very large".
    fn read_exponent(text: &[u8]) -> Result<i64, TemperatureError> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(TemperatureError::NotANumber);
        }
        let magnitude = digits.iter().fold(0i64, |value, byte| {
            (value * 10 + i64::from(byte - b'0')).min(1_000_000_000_000)
        });
        Ok(if negative { -magnitude } else { magnitude })
    }

    /// Rounded half to even; `None` when it does not fit in 18 digits.
    fn micro_degrees(&self) -> Option<i64> {
        if self.digits == 0 {
            return Some(0);
        }
        let shift = self.exponent.saturating_add(6);
        if shift >= 0 {
            let factor = 10u64.checked_pow(u32::try_from(shift).ok()?)?;
            return i64::try_from(self.digits.checked_mul(factor)?).ok();
        }
        let Some(divisor) = u32::try_from(-shift)
            .ok()
            .and_then(|power| 10u64.checked_pow(power))
        else {
            return Some(0); // Below 10⁻¹ µ°: fewer than 19 digits, divided by 10²⁰ or more.
        };
        let (quotient, remainder) = (self.digits / divisor, self.digits % divisor);
        let half = divisor / 2;
        let up = remainder > half || (remainder == half && (self.inexact || quotient % 2 == 1));
        i64::try_from(quotient + u64::from(up)).ok()
    }
}
