//! Tests of the parsers of whole bodies.

use std::io::Write as _;

use proptest::prelude::*;

use super::{BatchParser, BodyError, BodyErrorKind, Decoder, Format, Parsed, Rejection};
use crate::http::ContentEncoding;
use crate::readings::RecordMode;

const LIMIT: usize = 1 << 20;

fn parse_pieces<'a>(
    format: Format,
    mode: RecordMode,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Parsed, BodyError> {
    let mut parser = BatchParser::new(format, mode, LIMIT);
    for piece in pieces {
        parser.push(piece)?;
    }
    parser.finish()
}

fn parse(format: Format, body: &str) -> Result<Parsed, BodyError> {
    parse_pieces(format, RecordMode::Partial, [body.as_bytes()])
}

/// Readings as text, and rejections as position, field and reason.
fn shown(parsed: &Parsed) -> (Vec<String>, &[Rejection]) {
    let sensors = parsed.batch.sensors();
    let readings = parsed.batch.readings().iter().enumerate();
    let readings = readings
        .map(|(index, reading)| {
            format!(
                "{}: {} {} {}",
                parsed.position(index),
                sensors[reading.sensor as usize],
                reading.point.timestamp,
                reading.point.temperature
            )
        })
        .collect();
    (readings, &parsed.rejections)
}

fn rejection(position: u64, field: Option<&'static str>, reason: &str) -> Rejection {
    Rejection {
        position,
        field,
        reason: reason.into(),
    }
}

#[test]
fn lines_of_json() {
    let body = "\u{feff}{\"sensorId\":\"a\",\"timestamp\":\"2026-11-20T13:00:00Z\",\"temperature\":1}\r\n\
        \n  \r\n\
        {\"sensorId\":\"a\",\"temperature\":2}\n\
        nonsense\n\
        {\"sensorId\":\"b\",\"time\":\"2026-11-20 13:00\",\"temperature\":\"3.5\"}";
    let parsed = parse(Format::Ndjson, body).unwrap();
    let missing = "is missing; send RFC 3339 such as 2026-11-20T13:00:00Z";
    assert_eq!(
        shown(&parsed),
        (
            vec![
                "1: a 2026-11-20T13:00:00Z 1".to_owned(),
                "6: b 2026-11-20T13:00:00Z 3.5".to_owned()
            ],
            &[
                rejection(4, Some("timestamp"), missing),
                rejection(5, None, "is not JSON: expected ident at column 2"),
            ][..]
        )
    );
    assert_eq!(parsed.rejected, 2);
    let all = parse_pieces(Format::Ndjson, RecordMode::AllOrNothing, [body.as_bytes()]).unwrap();
    assert!(all.batch.is_empty());
    assert_eq!(all.rejections, parsed.rejections);
}

#[test]
fn a_line_that_is_no_text_or_too_long_is_rejected_alone() {
    let good = br#"{"sensorId":"a","timestamp":"2026-11-20T13:00:00Z","temperature":1}"#;
    let mut body = good.to_vec();
    body.extend_from_slice(b"\n{\"sensorId\":\"\xff\"}\n");
    body.extend_from_slice(&vec![b'x'; 300_000]);
    body.push(b'\n');
    body.extend_from_slice(good);
    for piece in [1000, 1 << 20] {
        let parsed = parse_pieces(Format::Ndjson, RecordMode::Partial, body.chunks(piece)).unwrap();
        assert_eq!(parsed.batch.len(), 2);
        assert_eq!(
            parsed.rejections,
            [
                rejection(2, None, "is not UTF-8"),
                rejection(3, None, "is longer than 262144 bytes"),
            ]
        );
    }
}

#[test]
fn an_array_of_json() {
    let body = r#" [ {"sensorId":"a]","timestamp":"2026-11-20T13:00:00Z","temperature":1} , 5,
        {"sensorId":"b\"[","timestamp":"2026-11-20T13:00:00Z","temperature":2,"x":[{"y":",]"}]}] "#;
    let parsed = parse(Format::JsonArray, body).unwrap();
    let (readings, rejections) = shown(&parsed);
    assert_eq!(
        readings,
        [
            "0: a] 2026-11-20T13:00:00Z 1",
            "2: b\"[ 2026-11-20T13:00:00Z 2"
        ]
    );
    assert_eq!(rejections.len(), 1);
    assert_eq!(rejections[0].position, 1);
    assert!(parse(Format::JsonArray, "[]").unwrap().batch.is_empty());
}

#[test]
fn bodies_that_are_not_arrays_are_refused() {
    let deep = "[".repeat(100_000);
    let closed = deep.clone() + &"]".repeat(100_000);
    for (body, kind, words) in [
        ("", BodyErrorKind::Unreadable, "is empty"),
        ("[", BodyErrorKind::Unreadable, "ends within the array"),
        ("[1,]", BodyErrorKind::Unreadable, "is empty"),
        ("[,1]", BodyErrorKind::Unreadable, "is empty"),
        ("[{]", BodyErrorKind::Unreadable, "ends within"),
        ("[}]", BodyErrorKind::Unreadable, "not JSON"),
        ("[{\"a\":1]}]", BodyErrorKind::Unreadable, "not JSON"),
        ("[] x", BodyErrorKind::Unreadable, "goes on"),
        ("[{}{}]", BodyErrorKind::Unreadable, "trailing"),
        ("[{\"temperature\":NaN}]", BodyErrorKind::Unreadable, "NaN"),
        ("{}", BodyErrorKind::Invalid, "must be a JSON array"),
        ("\"a\"", BodyErrorKind::Invalid, "must be a JSON array"),
        ("{}\n{}", BodyErrorKind::Unreadable, "application/x-ndjson"),
        ("hello", BodyErrorKind::Unreadable, "not a JSON array"),
        (&deep, BodyErrorKind::Unreadable, "ends within"),
    ] {
        let error = parse(Format::JsonArray, body).unwrap_err();
        assert_eq!(error.kind, kind, "{body}: {error}");
        assert!(error.reason.contains(words), "{body}: {error}");
    }
    let parsed = parse(Format::JsonArray, &closed).unwrap();
    assert_eq!((parsed.batch.len(), parsed.rejected), (0, 1));
}

#[test]
fn comma_separated_values() {
    let body = "\u{feff}note,time,sensorID,temperature\r\n\
        x,2026-11-20 13:00,a,1\r\n\
        \r\n\
        \"two\nlines, and \"\"quotes\"\"\",2026-11-20T13:00:00Z,\"b, c\", 2.5\n\
        5\" pipe,2026-11-20T13:00:01Z,a,-3\n\
        x,,a,1\n\
        x,2026-11-20T13:00:01Z,a\n\
        \"x\"y,2026-11-20T13:00:01Z,a,1\n\
        x,2026-11-20T13:00:01Z,,1\n\
        x,2026-11-20T13:00:02Z,a,1e0";
    let parsed = parse(Format::Csv, body).unwrap();
    let (readings, rejections) = shown(&parsed);
    assert_eq!(
        readings,
        [
            "2: a 2026-11-20T13:00:00Z 1",
            "4: b, c 2026-11-20T13:00:00Z 2.5",
            "6: a 2026-11-20T13:00:01Z -3",
            "11: a 2026-11-20T13:00:02Z 1",
        ]
    );
    let named: Vec<_> = rejections.iter().map(|r| (r.position, r.field)).collect();
    assert_eq!(
        named,
        [
            (7, Some("timestamp")),
            (8, None),
            (9, None),
            (10, Some("sensorId"))
        ]
    );
}

#[test]
fn a_header_is_needed() {
    for (body, words) in [
        ("", "is empty"),
        ("a,2026-11-20T13:00:00Z,1\n", "no column sensorId"),
        ("sensorId,temperature\n", "no column timestamp or time"),
        (
            "sensorId,sensorID,time,temperature\n",
            "two columns sensorId",
        ),
        ("sensorId,time,\"temperature", "is empty"),
    ] {
        let error = parse(Format::Csv, body).unwrap_err();
        assert_eq!(error.kind, BodyErrorKind::Invalid, "{body}");
        assert!(error.reason.contains(words), "{body}: {error}");
    }
    let only = parse(Format::Csv, "sensorId,\"time\",temperature").unwrap();
    assert!(only.batch.is_empty());
}

#[test]
fn an_open_quote_is_named() {
    let body = "sensorId,time,temperature\n\"a,2026-11-20T13:00:00Z,1\nb,2026-11-20T13:00:00Z,1\n";
    let parsed = parse(Format::Csv, body).unwrap();
    assert_eq!(parsed.batch.len(), 0);
    assert_eq!(parsed.rejections.len(), 1);
    assert_eq!(parsed.rejections[0].position, 2);
}

#[test]
fn only_the_first_hundred_rejections_are_named() {
    let parsed = parse(Format::Ndjson, &"x\n".repeat(1000)).unwrap();
    assert_eq!((parsed.rejected, parsed.rejections.len()), (1000, 100));
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn decode(encoding: ContentEncoding, body: &[u8], piece: usize) -> Result<Parsed, BodyError> {
    let parser = BatchParser::new(Format::Ndjson, RecordMode::Partial, LIMIT);
    let mut decoder = Decoder::new(encoding, parser).unwrap();
    for chunk in body.chunks(piece) {
        let mut rest = chunk;
        while decoder.step(&mut rest)? {}
        assert!(rest.is_empty());
    }
    decoder.finish()
}

#[test]
fn compressed_bodies() {
    let line = |n| {
        format!(
            "{{\"sensorId\":\"s{}\",\"timestamp\":\"2026-11-20T13:00:{:02}Z\",\"temperature\":{n}}}\n",
            n % 7,
            n % 60
        )
    };
    let halves: [String; 2] = [
        (0..3000).map(line).collect(),
        (3000..6000).map(line).collect(),
    ];
    for (encoding, compress) in [
        (
            ContentEncoding::Gzip,
            &(|body: &[u8]| gzip(body)) as &dyn Fn(&[u8]) -> Vec<u8>,
        ),
        (ContentEncoding::Zstd, &|body| {
            zstd::bulk::compress(body, 3).unwrap()
        }),
    ] {
        let both: Vec<u8> = halves
            .iter()
            .flat_map(|half| compress(half.as_bytes()))
            .collect();
        for piece in [1, 7, 4096, 1 << 20] {
            let parsed = decode(encoding, &both, piece).unwrap();
            assert_eq!((parsed.batch.len(), parsed.rejected), (6000, 0));
        }
        for cut in [0, 1, 5, 100, both.len() - 1] {
            let error = decode(encoding, &both[..cut], 4096).unwrap_err();
            assert_eq!(error.kind, BodyErrorKind::Unreadable, "{encoding:?} {cut}");
        }
        let mut damaged = both.clone();
        damaged[both.len() / 3] ^= 0x55;
        // These Zstandard frames have no checksum, so the damage may go unnoticed. The decoder must not panic.
        let _ = decode(encoding, &damaged, 4096);
        assert_eq!(
            decode(encoding, b"{\"sensorId\":1}\n", 4096)
                .unwrap_err()
                .kind,
            BodyErrorKind::Unreadable
        );
        let bomb = compress(&vec![b'\n'; 64 << 20]);
        let error = decode(encoding, &bomb, 1024).unwrap_err();
        assert_eq!(error.kind, BodyErrorKind::TooLarge);
    }
}

/// Bodies that are correct or nearly correct.
fn bodies() -> impl Strategy<Value = (Format, Vec<u8>)> {
    let formats = [
        Format::JsonArray,
        Format::Ndjson,
        Format::Csv,
        Format::Undeclared,
    ];
    let formats = prop::sample::select(formats.to_vec());
    let pieces: Vec<&[u8]> = vec![
        b"{\"sensorId\":\"a\",\"timestamp\":\"2026-11-20T13:00:00Z\",\"temperature\":1}",
        b"{\"sensorId\":\"a\"}",
        b"a,2026-11-20T13:00:00Z,1",
        "\"é\",2026-11-20T13:00:00Z,1".as_bytes(),
        b"\"",
        b"\\",
        b",",
        b",",
        b"\n",
        b"\n",
        b"\r\n",
        b"[",
        b"]",
        b"{",
        b"}",
        b" ",
        b"\xff",
        b"\"\"",
        b"x",
        b"sensor_id;time;temperature\n",
        b"a;20261120T130000;1",
    ];
    let body = prop::collection::vec(prop::sample::select(pieces), 0..20);
    (formats, body, any::<bool>()).prop_map(|(format, pieces, whole)| {
        let mut body = pieces.concat();
        match format {
            Format::JsonArray if whole => {
                body.insert(0, b'[');
                body.push(b']');
            }
            Format::Csv if whole => {
                body.splice(0..0, b"sensorId,timestamp,temperature\n".iter().copied());
            }
            _ => {}
        }
        (format, body)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// The result does not depend on the pieces of a body.
    #[test]
    fn the_pieces_of_a_body_do_not_matter((format, body) in bodies(), piece in 1usize..9) {
        let outcome = |parsed: Result<Parsed, BodyError>| parsed.map(|parsed| {
            let (readings, rejections) = shown(&parsed);
            (readings, rejections.to_vec(), parsed.rejected)
        });
        let whole = parse_pieces(format, RecordMode::Partial, [&body[..]]);
        let cut = parse_pieces(format, RecordMode::Partial, body.chunks(piece));
        prop_assert_eq!(outcome(whole), outcome(cut));
    }

    /// The first character of a body decides the format if no format is declared.
    #[test]
    fn an_undeclared_format_is_recognized_by_the_first_character((_, body) in bodies(), lines in 0usize..3) {
        let text = body.trim_ascii_start();
        let body = [&b"\n".repeat(lines)[..], text].concat();
        let format = match text.first() {
            Some(b'[') => Format::JsonArray,
            Some(b'{') => Format::Ndjson,
            _ => Format::Csv,
        };
        let declared = parse_pieces(format, RecordMode::Partial, [&body[..]]);
        let undeclared = parse_pieces(Format::Undeclared, RecordMode::Partial, [&body[..]]);
        match (declared, undeclared) {
            (Ok(declared), Ok(undeclared)) => {
                prop_assert_eq!(shown(&declared).0, shown(&undeclared).0);
                prop_assert_eq!(declared.rejected, undeclared.rejected);
                let positions = |parsed: &Parsed| -> Vec<u64> {
                    parsed.rejections.iter().map(|rejection| rejection.position).collect()
                };
                prop_assert_eq!(positions(&declared), positions(&undeclared));
            }
            (Err(declared), Err(undeclared)) if format == Format::Csv => {
                let expected = match declared.kind {
                    _ if text.is_empty() => BodyErrorKind::Unreadable,
                    BodyErrorKind::Invalid => BodyErrorKind::Unrecognized,
                    kind => kind,
                };
                prop_assert_eq!(undeclared.kind, expected);
            }
            (declared, undeclared) => prop_assert_eq!(declared.map(|_| ()), undeclared.map(|_| ())),
        }
    }

    /// An array is accepted exactly when `serde_json` accepts the array.
    #[test]
    fn arrays_agree_with_serde((_, body) in bodies()) {
        let taken = parse_pieces(Format::JsonArray, RecordMode::Partial, [&body[..]]);
        let json = serde_json::from_slice::<Vec<serde_json::Value>>(&body);
        match (&taken, &json) {
            (Ok(parsed), Ok(items)) => {
                prop_assert_eq!(parsed.batch.len() as u64 + parsed.rejected, items.len() as u64);
            }
            // An item that is not an object is rejected at the first byte, whatever follows.
            (Ok(parsed), Err(_)) => prop_assert!(parsed.rejected > 0),
            (Err(_), Ok(_)) => prop_assert!(false, "refused: {taken:?}"),
            (Err(_), Err(_)) => {}
        }
    }

    /// Every row is a reading or a rejection, as the `csv` crate counts rows.
    #[test]
    fn rows_agree_with_the_csv_crate(fields in prop::collection::vec("[a\",\n]{0,3}", 3..30)) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["sensorId", "timestamp", "temperature"]).unwrap();
        let rows = fields.chunks_exact(3).len();
        for row in fields.chunks_exact(3) {
            writer.write_record([&row[0], "2026-11-20T13:00:00Z", &row[2]]).unwrap();
        }
        let body = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let parsed = parse(Format::Csv, &body).unwrap();
        prop_assert_eq!(parsed.batch.len() as u64 + parsed.rejected, rows as u64);
    }
}
