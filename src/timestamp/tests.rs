//! Every spelling of a moment gives the same moment. Every other text is refused.

use proptest::prelude::*;

use super::*;

fn moment() -> impl Strategy<Value = Timestamp> {
    let whole = (Timestamp::MIN.micros() / MICROS_PER_SECOND
        ..=Timestamp::MAX.micros() / MICROS_PER_SECOND)
        .prop_map(|seconds| seconds * MICROS_PER_SECOND);
    let any = Timestamp::MIN.micros()..=Timestamp::MAX.micros();
    prop_oneof![whole, any].prop_map(|micros| Timestamp::from_micros(micros).unwrap())
}

/// An offset as text, in one of the three forms, and the offset in seconds.
fn offsets() -> impl Strategy<Value = (String, i64)> {
    let written = (any::<bool>(), 0i64..24, 0i64..60, 0..3).prop_map(|(west, h, m, way)| {
        let sign = if west { '-' } else { '+' };
        let m = if way == 2 { 0 } else { m };
        let text = match way {
            0 => format!("{sign}{h:02}:{m:02}"),
            1 => format!("{sign}{h:02}{m:02}"),
            _ => format!("{sign}{h:02}"),
        };
        let seconds = h * 3600 + m * 60;
        (text, if west { -seconds } else { seconds })
    });
    let none = prop::sample::select(&["", "Z", "z"]).prop_map(|text| (text.to_owned(), 0));
    prop_oneof![none, written]
}

/// The parts of a moment in UTC, without `Z`: day, time of day, fraction.
fn parts(time: Timestamp) -> (String, String, String) {
    let text = time.to_string();
    let text = text.trim_end_matches('Z');
    let (date, clock) = text.split_once('T').unwrap();
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let point = if fraction.is_empty() { "" } else { "." };
    (
        date.to_owned(),
        clock.to_owned(),
        format!("{point}{fraction}"),
    )
}

/// A number without leading zeros.
fn short(number: &str) -> &str {
    let short = number.trim_start_matches('0');
    if short.is_empty() { "0" } else { short }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn every_spelling_of_a_moment_is_that_moment(
        local in moment(),
        (offset, east) in offsets(),
        separator in prop::sample::select(&["T", "t", " "]),
        comma in any::<bool>(),
    ) {
        let (date, clock, fraction) = parts(local);
        let fraction = if comma { fraction.replace('.', ",") } else { fraction };
        let expected = Timestamp::from_micros(local.micros() - east * MICROS_PER_SECOND);
        let expected = expected.ok_or(TimestampError::OutOfRange);
        let ymd: Vec<_> = date.split('-').collect();
        let hms: Vec<_> = clock.split(':').collect();
        let dates = [
            date.clone(),
            format!("{}-{}-{}", ymd[0], short(ymd[1]), short(ymd[2])),
            format!("{}-{}-{}", ymd[0], short(ymd[1]), ymd[2]),
        ];
        let clocks = [clock.clone(), format!("{}:{}:{}", short(hms[0]), hms[1], hms[2])];
        let mut texts = vec![format!("{}{separator}{}{fraction}{offset}", ymd.concat(), hms.concat())];
        for date in &dates {
            texts.extend(clocks.iter().map(|clock| format!("{date}{separator}{clock}{fraction}{offset}")));
        }
        if hms[2] == "00" && fraction.is_empty() {
            texts.push(format!("{}{separator}{}{}{offset}", ymd.concat(), hms[0], hms[1]));
            texts.push(format!("{}{separator}{}:{}{offset}", dates[1], short(hms[0]), hms[1]));
        }
        for text in texts {
            prop_assert_eq!(Timestamp::parse(text.as_bytes()), expected, "{}", text);
        }
    }

    #[test]
    fn numbers_of_other_lengths_are_no_times_and_those_of_right_ones_are_as_if_padded(
        date in "[0-9]{3,5}-[0-9]{1,3}-[0-9]{1,3}",
        clock in "[0-9]{1,3}:[0-9]{1,3}(:[0-9]{1,3}([.,][0-9]{0,8})?)?",
        (offset, _) in offsets(),
    ) {
        let text = format!("{date} {clock}{offset}");
        let lengths = |text: &str| -> Vec<usize> {
            let text = text.split(['.', ',']).next().unwrap();
            text.split(['-', ':']).map(str::len).collect()
        };
        let (day, time) = (lengths(&date), lengths(&clock));
        let is_right = day[0] == 4
            && day[1..].iter().all(|&length| length <= 2)
            && time[0] <= 2
            && time[1..].iter().all(|&length| length == 2);
        let pad = |number: &str| format!("{number:0>2}");
        let date: Vec<_> = date.split('-').map(pad).collect();
        let (hour, rest) = clock.split_once(':').unwrap();
        let padded = format!("{} {}:{rest}{offset}", date.join("-"), pad(hour));
        let parsed = Timestamp::parse(text.as_bytes());
        if is_right {
            prop_assert_eq!(parsed, Timestamp::parse_usual(padded.as_bytes()), "{}", padded);
        } else {
            prop_assert!(parsed.is_err(), "{} is taken as {:?}", text, parsed);
        }
    }

    #[test]
    fn digits_in_a_row_are_eight_and_four_or_six(
        date in "[0-9]{6,9}",
        clock in "[0-9]{2,7}",
        fraction in "([.,][0-9]{0,8})?",
        (offset, _) in offsets(),
    ) {
        let text = format!("{date}T{clock}{fraction}{offset}");
        let parsed = Timestamp::parse(text.as_bytes());
        let is_right = date.len() == 8
            && (clock.len() == 6 || (clock.len() == 4 && fraction.is_empty()));
        if !is_right {
            prop_assert_eq!(parsed, Err(TimestampError::NotATime), "{}", text);
            return Ok(());
        }
        let seconds = if clock.len() == 6 { format!(":{}", &clock[4..]) } else { String::new() };
        let usual = format!(
            "{}-{}-{}T{}:{}{seconds}{fraction}{offset}",
            &date[..4], &date[4..6], &date[6..], &clock[..2], &clock[2..4],
        );
        prop_assert_eq!(parsed, Timestamp::parse_usual(usual.as_bytes()), "{}", usual);
    }

    #[test]
    fn no_text_is_too_strange(text in "[-+:.,TZtz 0-9]{0,30}") {
        if let Ok(time) = Timestamp::parse(text.as_bytes()) {
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }
}

#[test]
fn what_is_ambiguous_or_impossible_is_refused_by_name() {
    use TimestampError::{NoSuch, NotATime, OneDigit, OutOfRange};
    for (text, error) in [
        // Only a day, or only a day and an hour.
        ("20211126", NotATime),
        ("2021-11-26", NotATime),
        ("20211126T18", NotATime),
        ("20211126T18Z", NotATime),
        // Digits with several possible meanings.
        ("20211126181500", NotATime),
        ("1637950500", NotATime),
        ("211126T181500", NotATime),
        ("20211126T18150", NotATime),
        ("20211126T1815.5", NotATime),
        ("20211126T181500.", NotATime),
        ("2021126T181500", NotATime),
        // A mixture of two forms.
        ("2021-11-26T181500", NotATime),
        ("20211126T18:15:00", NotATime),
        ("2021-1126T181500", NotATime),
        // A zero may be missing before or after the digit.
        ("2012-1-5 9:5:00", OneDigit("minute")),
        ("2012-1-5 9:05:0", OneDigit("second")),
        ("2026-11-20T13:00:5Z", OneDigit("second")),
        // A year of two digits. The first number may also be a day.
        ("12-1-5 9:05:00", NotATime),
        ("5-1-2012 9:05:00", NotATime),
        ("1/5/2012 9:05:00", NotATime),
        ("02012-1-5 9:05", NotATime),
        // Times of a 12-hour clock, and incomplete times.
        ("2012-1-5 9:05:00 PM", NotATime),
        ("2012-1-5 9:05PM", NotATime),
        ("2012-1-5  9:05", NotATime),
        ("2012-1-5T9", NotATime),
        ("2012-1-5 :05", NotATime),
        ("2012--5 9:05", NotATime),
        // Months, days and times outside of the calendar.
        ("20211326T181500", NoSuch("month")),
        ("20210229T181500", NoSuch("day")),
        ("20211100T181500", NoSuch("day")),
        ("20211126T241500", NoSuch("hour")),
        ("20211126T186000", NoSuch("minute")),
        ("20211126T181560", NoSuch("second")),
        ("20211126T181500+2400", NoSuch("offset")),
        ("2012-0-5 9:05:00", NoSuch("month")),
        ("2012-2-30 9:05:00", NoSuch("day")),
        ("2012-1-5 24:00", NoSuch("hour")),
        ("2012-1-5 9:05:60", NoSuch("second")),
        ("00000101T000000", OutOfRange),
        ("0000-1-1 0:00", OutOfRange),
        ("99991231T235959-0001", OutOfRange),
        ("0001-1-1 0:00+00:01", OutOfRange),
        ("", NotATime),
        ("T", NotATime),
        (" ", NotATime),
    ] {
        assert_eq!(Timestamp::parse(text.as_bytes()), Err(error), "{text}");
        let words = error.to_string();
        assert!(
            words.contains("2026-11-20T13:0") || error == OutOfRange,
            "{words}"
        );
    }
}

#[test]
fn the_spellings_of_the_older_applications() {
    for (text, meant) in [
        ("20211126T181500", "2021-11-26T18:15:00Z"),
        ("20211126T181500Z", "2021-11-26T18:15:00Z"),
        ("20211126T1815", "2021-11-26T18:15:00Z"),
        ("20211126 181500.25", "2021-11-26T18:15:00.25Z"),
        ("20211126T181500,25+0100", "2021-11-26T17:15:00.25Z"),
        ("20211126T181500+01:00", "2021-11-26T17:15:00Z"),
        ("20211126T1815-01", "2021-11-26T19:15:00Z"),
        ("2021-11-26 18:10:00+00:00", "2021-11-26T18:10:00Z"),
        ("2012-01-02 03:04:05", "2012-01-02T03:04:05Z"),
        ("2012-1-5 9:05:00", "2012-01-05T09:05:00Z"),
        ("2012-10-5T9:05+02:00", "2012-10-05T07:05:00Z"),
    ] {
        assert_eq!(
            text.parse::<Timestamp>().unwrap().to_string(),
            meant,
            "{text}"
        );
    }
}
