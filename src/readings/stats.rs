//! Exact statistics. All values are integers, so merging is associative and the order of readings does not matter.

use super::Temperature;

/// Count, sum, minimum and maximum of a set of readings.
///
/// ```
/// use fieldstation::readings::{Stats, Temperature};
/// let mut stats = Stats::EMPTY;
/// for text in ["28", "-6", "8"] {
///     stats.add(text.parse::<Temperature>()?);
/// }
/// assert_eq!(stats.average(), Some(10.0));
/// assert_eq!(stats.minimum(), "-6".parse().ok());
/// assert_eq!(Stats::EMPTY.average(), None);
/// # Ok::<(), fieldstation::readings::TemperatureError>(())
/// ```
// Without the packing, the alignment of the sum would add 16 bytes for each of millions of sensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, packed(8))]
pub struct Stats {
    count: u64,
    /// In micro-degrees. 2⁶⁴ readings of 10¹² µ° are below 2¹⁰⁴, so the sum cannot overflow.
    sum: i128,
    /// `i64::MAX` when empty.
    minimum: i64,
    /// `i64::MIN` when empty.
    maximum: i64,
}

impl Default for Stats {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Stats {
    /// The statistics of no reading.
    pub const EMPTY: Self = Self {
        count: 0,
        sum: 0,
        minimum: i64::MAX,
        maximum: i64::MIN,
    };

    /// Statistics from the stored parts, in micro-degrees; `None` when no set of valid readings has these parts.
    pub fn from_parts(count: u64, sum: i128, minimum: i64, maximum: i64) -> Option<Self> {
        if count == 0 {
            return Some(Self::EMPTY);
        }
        Temperature::from_micro_degrees(minimum)?;
        Temperature::from_micro_degrees(maximum)?;
        let lowest = i128::from(count) * i128::from(minimum);
        let highest = i128::from(count) * i128::from(maximum);
        (minimum <= maximum && (lowest..=highest).contains(&sum)).then_some(Self {
            count,
            sum,
            minimum,
            maximum,
        })
    }

    /// The number of readings.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The exact sum in micro-degrees.
    pub const fn sum_micro_degrees(&self) -> i128 {
        self.sum
    }

    /// The lowest temperature; `None` when there is no reading.
    pub fn minimum(&self) -> Option<Temperature> {
        Temperature::from_micro_degrees(self.minimum)
    }

    /// The highest temperature; `None` when there is no reading.
    pub fn maximum(&self) -> Option<Temperature> {
        Temperature::from_micro_degrees(self.maximum)
    }

    /// Counts another reading.
    pub fn add(&mut self, temperature: Temperature) {
        let value = temperature.micro_degrees();
        self.count += 1;
        self.sum += i128::from(value);
        self.minimum = self.minimum.min(value);
        self.maximum = self.maximum.max(value);
    }

    /// Counts the readings of another, disjoint set.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
    }

    /// Follows the replacement of a reading. Returns `false` when the replaced value was the minimum or the maximum, and the new extreme is
    /// unknown here. The count and the sum are right in both cases. After `false` the caller finds the extremes in the readings and calls
    /// [`Stats::set_extremes`].
    #[must_use]
    pub fn replace(&mut self, old: Temperature, new: Temperature) -> bool {
        let (old, new) = (old.micro_degrees(), new.micro_degrees());
        self.sum += i128::from(new) - i128::from(old);
        let lost = (old == self.minimum && new > old) || (old == self.maximum && new < old);
        self.minimum = self.minimum.min(new);
        self.maximum = self.maximum.max(new);
        !lost
    }

    /// Takes the minimum and maximum of `other`, a recount of the same readings' extremes.
    pub fn set_extremes(&mut self, other: &Self) {
        self.minimum = other.minimum;
        self.maximum = other.maximum;
    }

    /// The arithmetic mean in degrees: the `f64` nearest to the exact quotient (ties to even); `None` when there is no
    /// reading.
    pub fn average(&self) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let magnitude =
            nearest_quotient(self.sum.unsigned_abs(), u128::from(self.count) * 1_000_000);
        Some(if self.sum < 0 { -magnitude } else { magnitude })
    }
}

impl Extend<Temperature> for Stats {
    fn extend<T: IntoIterator<Item = Temperature>>(&mut self, temperatures: T) {
        for temperature in temperatures {
            self.add(temperature);
        }
    }
}

impl FromIterator<Temperature> for Stats {
    fn from_iter<T: IntoIterator<Item = Temperature>>(temperatures: T) -> Self {
        let mut stats = Self::EMPTY;
        stats.extend(temperatures);
        stats
    }
}

/// The `f64` nearest to `numerator / denominator`, ties to even, by long division in binary.
///
/// `denominator` is not 0 and below 2⁸⁴ (a 64-bit count of millionths), so that a remainder shifted by one bit fits; the
/// quotient is 0 or at least 2⁻⁸⁴, far from the subnormal numbers.
fn nearest_quotient(numerator: u128, denominator: u128) -> f64 {
    /// The 53 bits of an `f64`, a rounding bit, and another bit, so that the remainder is below half.
    const BITS: u32 = 55;
    let mut quotient = numerator / denominator;
    let mut remainder = numerator % denominator;
    if quotient == 0 && remainder == 0 {
        return 0.0;
    }
    let mut exponent = 0i32;
    while quotient.ilog2_or_zero() < BITS {
        remainder <<= 1;
        quotient = (quotient << 1) | u128::from(remainder >= denominator);
        if remainder >= denominator {
            remainder -= denominator;
        }
        exponent -= 1;
    }
    // The remainder goes into the lowest bit, below the rounding bit. So a value above a tie is not taken for a tie.
    let sticky = quotient | u128::from(remainder != 0);
    // Correctly rounded by the conversion (ties to even); a power of two in this range is exact, and so is the product.
    (sticky as f64) * 2f64.powi(exponent)
}

/// The number of bits below the highest set bit; 0 for the number 0.
trait Log2OrZero {
    fn ilog2_or_zero(self) -> u32;
}

impl Log2OrZero for u128 {
    fn ilog2_or_zero(self) -> u32 {
        self.checked_ilog2().unwrap_or(0)
    }
}
