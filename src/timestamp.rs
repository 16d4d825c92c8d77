//! Timestamps: microseconds since 1970 in UTC, parsed from and written as RFC 3339.

mod spellings;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970-01-01T00:00:00Z, within the years 0001 to 9999 (proleptic Gregorian, no leap seconds).
///
/// ```
/// use fieldstation::timestamp::Timestamp;
/// let t: Timestamp = "2026-11-20 14:00:00.5+01:00".parse()?;
/// assert_eq!(t.to_string(), "2026-11-20T13:00:00.5Z");
/// assert_eq!("2026-11-20T13:00".parse::<Timestamp>()?.to_string(), "2026-11-20T13:00:00Z");
/// assert_eq!("20261120T140000+0100".parse::<Timestamp>()?.to_string(), "2026-11-20T13:00:00Z");
/// assert_eq!("2026-1-5 9:05:00".parse::<Timestamp>()?.to_string(), "2026-01-05T09:05:00Z");
/// assert!("2026-11-20T13:00:60Z".parse::<Timestamp>().is_err());
/// # Ok::<(), fieldstation::timestamp::TimestampError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Why a text is not a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// The text does not have the form of a time.
    #[error("is not a time; send RFC 3339 such as 2026-11-20T13:00:00Z")]
    NotATime,
    /// A month, day, hour, minute, second or offset that does not exist (`:60` is refused).
    #[error("has no such {0}; send RFC 3339 such as 2026-11-20T13:00:00Z")]
    NoSuch(&'static str),
    /// A minute or a second of one digit. A zero is missing before or after the digit, and nobody knows where.
    #[error("has one digit for the {0}; write two, as in 2026-11-20T13:05:00Z")]
    OneDigit(&'static str),
    /// Before the year 0001 or after 9999, in UTC.
    #[error("is outside the years 0001 to 9999")]
    OutOfRange,
}

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

impl Timestamp {
    /// 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800 * MICROS_PER_SECOND);
    /// 9999-12-31T23:59:59.999999Z.
    pub const MAX: Self = Self(253_402_300_800 * MICROS_PER_SECOND - 1);

    /// The timestamp of a number of microseconds since 1970; `None` outside the accepted years.
    pub const fn from_micros(micros: i64) -> Option<Self> {
        if micros < Self::MIN.0 || micros > Self::MAX.0 {
            None
        } else {
            Some(Self(micros))
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The system clock, to the microsecond.
    pub fn now() -> Self {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Self(micros.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Parses RFC 3339 and ISO 8601: with a space for the `T`, without seconds, without an offset (then UTC), in the basic form
    /// (`20261120T130000`), and with months, days and hours of one digit (`2026-1-5 9:05:00`). Digits finer than a microsecond are
    /// truncated.
    ///
    /// # Errors
    /// [`TimestampError`] names the mistake.
    pub fn parse(text: &[u8]) -> Result<Self, TimestampError> {
        match Self::parse_usual(text) {
            // The rare forms are tried last, so that they cost the usual form nothing.
            Err(TimestampError::NotATime) => spellings::parse(text),
            usual => usual,
        }
    }

    #[inline(always)]
    fn parse_usual(text: &[u8]) -> Result<Self, TimestampError> {
        use TimestampError::NotATime;
        let (date, rest) = text.split_first_chunk::<10>().ok_or(NotATime)?;
        let (clock, mut rest) = rest.split_first_chunk::<6>().ok_or(NotATime)?;
        if date[4] != b'-' || date[7] != b'-' || clock[3] != b':' {
            return Err(NotATime);
        }
        if !is_separator(clock[0]) {
            return Err(NotATime);
        }
        let mut second = 0;
        let mut micros = 0;
        let year = i64::from(two_digits(date[0], date[1])?) * 100
            + i64::from(two_digits(date[2], date[3])?);
        let month = two_digits(date[5], date[6])?;
        let day = two_digits(date[8], date[9])?;
        let hour = two_digits(clock[1], clock[2])?;
        let minute = two_digits(clock[4], clock[5])?;
        if let [b':', tens, ones, after @ ..] = rest {
            second = two_digits(*tens, *ones)?;
            rest = after;
            if let [b'.' | b',', after @ ..] = rest {
                (micros, rest) = fraction(after)?;
            }
        }
        Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
            micros,
        }
        .east(offset(rest)?)
    }

    /// Appends RFC 3339 in UTC with `Z`. The fraction has no trailing zeros, and is left out when it is zero.
    pub fn write_to(self, out: &mut Vec<u8>) {
        let mut buffer = [0u8; 27];
        out.extend_from_slice(self.format(&mut buffer));
    }

    fn format(self, buffer: &mut [u8; 27]) -> &[u8] {
        let seconds = self.0.div_euclid(MICROS_PER_SECOND);
        let mut micros = self.0.rem_euclid(MICROS_PER_SECOND);
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        *buffer = *b"0000-00-00T00:00:00.000000Z";
        let mut put = |at: usize, value: i64| {
            buffer[at] = b'0' + (value / 10) as u8;
            buffer[at + 1] = b'0' + (value % 10) as u8;
        };
        put(0, year / 100);
        put(2, year % 100);
        put(5, month);
        put(8, day);
        put(11, second_of_day / 3600);
        put(14, second_of_day / 60 % 60);
        put(17, second_of_day % 60);
        let mut end = 19;
        if micros != 0 {
            end = 26;
            for at in (20..26).rev() {
                buffer[at] = b'0' + (micros % 10) as u8;
                micros /= 10;
            }
            while buffer[end - 1] == b'0' {
                end -= 1;
            }
        }
        buffer[end] = b'Z';
        &buffer[..=end]
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0u8; 27];
        f.write_str(std::str::from_utf8(self.format(&mut buffer)).unwrap_or_default())
    }
}

/// A date and a time of day in some zone, not validated yet.
struct Civil {
    year: i64,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    micros: i64,
}

impl Civil {
    /// Validates the parts and converts them to UTC. `offset_seconds` is the offset of the zone, east of UTC.
    #[inline(always)]
    fn east(self, offset_seconds: i64) -> Result<Timestamp, TimestampError> {
        use TimestampError::{NoSuch, OutOfRange};
        if !(1..=12).contains(&self.month) {
            return Err(NoSuch("month"));
        }
        if self.year == 0 {
            return Err(OutOfRange);
        }
        if self.day == 0 || self.day > days_in_month(self.year, self.month) {
            return Err(NoSuch("day"));
        }
        if self.hour > 23 {
            return Err(NoSuch("hour"));
        }
        if self.minute > 59 {
            return Err(NoSuch("minute"));
        }
        if self.second > 59 {
            return Err(NoSuch("second"));
        }
        let seconds = days_from_civil(self.year, self.month, self.day) * SECONDS_PER_DAY
            + i64::from(self.hour) * 3600
            + i64::from(self.minute) * 60
            + i64::from(self.second)
            - offset_seconds;
        Timestamp::from_micros(seconds * MICROS_PER_SECOND + self.micros).ok_or(OutOfRange)
    }
}

/// Whether a character separates a date from a time.
fn is_separator(byte: u8) -> bool {
    matches!(byte, b'T' | b't' | b' ')
}

fn two_digits(tens: u8, ones: u8) -> Result<u8, TimestampError> {
    if tens.is_ascii_digit() && ones.is_ascii_digit() {
        Ok((tens - b'0') * 10 + (ones - b'0'))
    } else {
        Err(TimestampError::NotATime)
    }
}

/// The microseconds of a decimal fraction, and the text after the fraction.
fn fraction(text: &[u8]) -> Result<(i64, &[u8]), TimestampError> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return Err(TimestampError::NotATime);
    }
    let micros = (0..6).fold(0, |value, at| {
        value * 10
            + if at < digits {
                i64::from(text[at] - b'0')
            } else {
                0
            }
    });
    Ok((micros, &text[digits..]))
}

/// Seconds east of UTC: nothing or `Z` is 0; `+hh:mm`, `+hhmm` and `+hh` otherwise.
fn offset(text: &[u8]) -> Result<i64, TimestampError> {
    let (sign, digits) = match text {
        [] | [b'Z' | b'z'] => return Ok(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return Err(TimestampError::NotATime),
    };
    let (hours, minutes) = match *digits {
        [a, b, b':', c, d] | [a, b, c, d] => (two_digits(a, b)?, two_digits(c, d)?),
        [a, b] => (two_digits(a, b)?, 0),
        _ => return Err(TimestampError::NotATime),
    };
    if hours > 23 || minutes > 59 {
        return Err(TimestampError::NoSuch("offset"));
    }
    Ok(sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60))
}

fn days_in_month(year: i64, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

// Both directions after H. Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2013): here a year starts in March, so that the leap day
// is the last day of the year.

/// Days from 1970-01-01 to a date.
fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The year, month and day so many days from 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
