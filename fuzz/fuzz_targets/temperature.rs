//! A temperature is parsed exactly: it equals an oracle that moves the decimal point in the text, and reads back from its own text.
#![no_main]

use fieldstation::readings::{Temperature, TemperatureError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let parsed = Temperature::parse(text);
    if let Ok(temperature) = parsed {
        assert!((Temperature::MIN..=Temperature::MAX).contains(&temperature));
        let printed = temperature.to_string();
        assert_eq!(printed.parse(), Ok(temperature), "printed as {printed}");
        assert!(
            serde_json::from_str::<f64>(&printed).is_ok(),
            "not JSON: {printed}"
        );
    }
    // Of what is a number to others, only the range may be a reason to refuse it.
    let bare = text.first().is_some_and(u8::is_ascii_graphic)
        && text.last().is_some_and(u8::is_ascii_graphic);
    if let Ok(value) = serde_json::from_slice::<f64>(text)
        && bare
    {
        assert_ne!(parsed, Err(TemperatureError::NotANumber));
        // The double and the exact value are at most half a micro-degree and a rounding of the double apart.
        match parsed {
            Ok(temperature) => {
                let difference = temperature.micro_degrees() as f64 - value * 1e6;
                assert!(
                    difference.abs() <= 0.5 + value.abs() * 1e6 * 4e-16,
                    "{value}: off by {difference}"
                );
            }
            Err(_) => assert!(
                !(-273.149_999..=999_999.999_999).contains(&value),
                "{value} refused"
            ),
        }
    }
    if let Some(exact) = oracle(text) {
        assert_eq!(parsed.ok().map(Temperature::micro_degrees), exact);
    }
});

/// Plain decimals of up to 30 digits by 128-bit integers: `None` for other texts, `Some(None)` outside the range.
fn oracle(text: &[u8]) -> Option<Option<i64>> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() > 12 || fraction.len() > 18 {
        return None;
    }
    // In units of 10⁻¹⁸ degree, then rounded to 10⁻⁶, half to even.
    let unit = 10u128.pow(12);
    let scaled: u128 = format!("{whole}{fraction:0<18}").parse().ok()?;
    let (quotient, remainder) = (scaled / unit, scaled % unit);
    let up = remainder * 2 > unit || (remainder * 2 == unit && quotient % 2 == 1);
    let magnitude = i64::try_from(quotient + u128::from(up)).ok()?;
    let value = if negative { -magnitude } else { magnitude };
    Some(Temperature::from_micro_degrees(value).map(Temperature::micro_degrees))
}
