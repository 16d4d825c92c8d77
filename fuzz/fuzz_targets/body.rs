//! A body in any format, compressed or not: reading it in pieces gives the same result as reading it whole, within the limits.
#![no_main]

use fieldstation::http::ContentEncoding;
use fieldstation::readings::RecordMode;
use fieldstation::readings::ingest::{BatchParser, BodyErrorKind, Decoder, Format};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

/// Small enough that the fuzzer can reach it.
const BYTES_MAX: usize = 4096;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    format: u8,
    encoding: u8,
    piece_bytes: u8,
    body: &'a [u8],
}

/// What can be compared: readings, the count of rejections, and where they are; or the kind of the error.
type Read = Result<(Vec<String>, u64, Vec<u64>), BodyErrorKind>;

fn read(input: &Input<'_>, mode: RecordMode, piece_bytes: usize) -> Read {
    let formats = [
        Format::JsonArray,
        Format::Ndjson,
        Format::Csv,
        Format::Undeclared,
    ];
    let format = formats[usize::from(input.format % 4)];
    let encoding = [
        ContentEncoding::Identity,
        ContentEncoding::Gzip,
        ContentEncoding::Zstd,
    ][usize::from(input.encoding % 3)];
    let parser = BatchParser::new(format, mode, BYTES_MAX);
    let mut decoder = Decoder::new(encoding, parser).unwrap();
    for mut piece in input.body.chunks(piece_bytes) {
        while decoder.step(&mut piece).map_err(|error| error.kind)? {}
        // A reading and its sensor take some hundred bytes at most, of a body of a few thousand; zstd has its window.
        assert!(
            decoder.memory_bytes() < 12 << 20,
            "{} bytes held",
            decoder.memory_bytes()
        );
    }
    let parsed = decoder.finish().map_err(|error| error.kind)?;
    let sensors = parsed.batch.sensors();
    let readings = parsed
        .batch
        .readings()
        .iter()
        .enumerate()
        .map(|(index, reading)| {
            let point = reading.point;
            let sensor = &sensors[reading.sensor as usize];
            format!(
                "{} {sensor} {} {}",
                parsed.position(index),
                point.timestamp,
                point.temperature
            )
        });
    let positions = parsed
        .rejections
        .iter()
        .map(|rejection| rejection.position)
        .collect();
    Ok((readings.collect(), parsed.rejected, positions))
}

fuzz_target!(|input: Input<'_>| {
    let whole = read(&input, RecordMode::Partial, usize::MAX);
    let pieces = read(
        &input,
        RecordMode::Partial,
        usize::from(input.piece_bytes).max(1),
    );
    // Compressed, a body can be wrong twice, and which of the two shows first depends on how far it was decompressed.
    let compressed = input.encoding % 3 != 0;
    if !(compressed && pieces.is_err() && whole.is_err()) {
        assert_eq!(pieces, whole);
    }
    if let Ok((readings, rejected, positions)) = &whole {
        assert!(positions.is_sorted());
        assert_eq!(positions.len() as u64, (*rejected).min(100));
        let strict = read(&input, RecordMode::AllOrNothing, usize::MAX);
        match strict {
            Ok((kept, strictly_rejected, _)) => {
                assert_eq!(strictly_rejected, *rejected);
                assert_eq!(
                    &kept,
                    if *rejected == 0 {
                        readings
                    } else {
                        const { &Vec::new() }
                    }
                );
            }
            Err(kind) => panic!("one mode takes it, the other says {kind:?}"),
        }
    }
});
