//! Decompresses a body while the body arrives, directly into the parser.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::body::BatchParser;
use super::collector::Parsed;
use super::error::BodyError;
use crate::http::ContentEncoding;

/// The largest window of a Zstandard frame: 2²³ bytes, the limit of RFC 9659.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// The most bytes to decompress at a time. So a decompression bomb reaches the limit on bytes before the bomb fills memory.
const ZSTD_OUTPUT_BYTES: usize = 32 * 1024;
/// The most decompressed bytes of a step: about a hundred microseconds of parsing. Then other tasks get their turn.
const ZSTD_STEP_BYTES: usize = 256 * 1024;
/// The most compressed bytes of a step. gzip expands them at most a thousandfold.
const GZIP_STEP_BYTES: usize = 512;
const IDENTITY_STEP_BYTES: usize = 64 * 1024;
/// The memory of the state, the window and the buffer of a gzip decoder.
const GZIP_MEMORY_BYTES: usize = 96 * 1024;

/// A decoder in front of a [`BatchParser`].
pub struct Decoder(Stage);

enum Stage {
    Identity(Box<BatchParser>),
    Gzip(Box<MultiGzDecoder<Sink>>),
    Zstd(Box<Zstd>),
}

impl Decoder {
    /// A decoder that feeds `parser`.
    ///
    /// # Errors
    /// When there is not enough memory.
    pub fn new(encoding: ContentEncoding, parser: BatchParser) -> io::Result<Self> {
        Ok(Self(match encoding {
            ContentEncoding::Identity => Stage::Identity(Box::new(parser)),
            ContentEncoding::Gzip => Stage::Gzip(Box::new(MultiGzDecoder::new(Sink {
                parser,
                parse_error: None,
            }))),
            ContentEncoding::Zstd => Stage::Zstd(Box::new(Zstd::new(parser)?)),
        }))
    }

    /// Removes a small step of work from the front of the next piece, and returns whether more work is left for the pieces given so
    /// far. A few bytes of a decompression bomb can be many steps.
    ///
    /// # Errors
    /// As [`BatchParser::push`], and when the compressed data is malformed.
    pub fn step(&mut self, chunk: &mut &[u8]) -> Result<bool, BodyError> {
        match &mut self.0 {
            Stage::Identity(parser) => {
                parser.push(take(chunk, IDENTITY_STEP_BYTES))?;
                Ok(!chunk.is_empty())
            }
            Stage::Gzip(decoder) => {
                let written = decoder.write_all(take(chunk, GZIP_STEP_BYTES));
                written.map_err(|_| gzip_error(decoder))?;
                Ok(!chunk.is_empty())
            }
            Stage::Zstd(decoder) => decoder.step(chunk),
        }
    }

    /// The number of decompressed bytes so far.
    pub fn bytes(&self) -> usize {
        self.parser().bytes()
    }

    /// The approximate memory in use, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let own = match &self.0 {
            Stage::Identity(_) => 0,
            Stage::Gzip(_) => GZIP_MEMORY_BYTES,
            Stage::Zstd(decoder) => decoder.context.sizeof() + ZSTD_OUTPUT_BYTES,
        };
        own + self.parser().memory_bytes()
    }

    fn parser(&self) -> &BatchParser {
        match &self.0 {
            Stage::Identity(parser) => parser,
            Stage::Gzip(decoder) => &decoder.get_ref().parser,
            Stage::Zstd(decoder) => &decoder.parser,
        }
    }

    /// Ends the body.
    ///
    /// # Errors
    /// As [`BatchParser::finish`], and when the compressed stream is cut short.
    pub fn finish(self) -> Result<Parsed, BodyError> {
        match self.0 {
            Stage::Identity(parser) => parser.finish(),
            Stage::Gzip(mut decoder) => {
                if decoder.try_finish().is_err() {
                    return Err(gzip_error(&mut decoder));
                }
                decoder
                    .finish()
                    .map_err(|error| BodyError::unreadable(error.to_string()))?
                    .parser
                    .finish()
            }
            Stage::Zstd(decoder) => decoder.finish(),
        }
    }
}

/// Removes at most `bytes_max` bytes from the front.
fn take<'a>(chunk: &mut &'a [u8], bytes_max: usize) -> &'a [u8] {
    let (front, rest) = chunk.split_at(chunk.len().min(bytes_max));
    *chunk = rest;
    front
}

fn gzip_error(decoder: &mut MultiGzDecoder<Sink>) -> BodyError {
    let parse_error = decoder.get_mut().parse_error.clone();
    parse_error.unwrap_or_else(|| {
        BodyError::unreadable("the body is not gzip, or it is damaged or cut short")
    })
}

/// The output of a decoder. Keeps the error of the parser, and accepts no bytes after the error.
struct Sink {
    parser: BatchParser,
    parse_error: Option<BodyError>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.parse_error.is_none()
            && let Err(error) = self.parser.push(bytes)
        {
            self.parse_error = Some(error);
        }
        match self.parse_error {
            None => Ok(bytes.len()),
            Some(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A Zstandard decoder with a separate context. The context reports the memory of the windows.
struct Zstd {
    context: DCtx<'static>,
    output: Vec<u8>,
    parser: BatchParser,
    /// Whether the bytes so far end at the end of a frame.
    complete: bool,
}

impl Zstd {
    fn new(parser: BatchParser) -> io::Result<Self> {
        let mut context = DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        context
            .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
            .map_err(|_| io::ErrorKind::Unsupported)?;
        Ok(Self {
            context,
            output: Vec::with_capacity(ZSTD_OUTPUT_BYTES),
            parser,
            complete: false,
        })
    }

    fn step(&mut self, chunk: &mut &[u8]) -> Result<bool, BodyError> {
        let mut output_bytes = 0;
        // After a complete frame the decoder holds no output, and an empty input does not begin another frame.
        while output_bytes < ZSTD_STEP_BYTES && !(self.complete && chunk.is_empty()) {
            if self.complete {
                self.complete = false;
                self.context
                    .reset(ResetDirective::SessionOnly)
                    .map_err(zstd_error)?;
            }
            self.output.clear();
            let mut output = OutBuffer::around(&mut self.output);
            let mut input = InBuffer::around(chunk);
            let hint = self
                .context
                .decompress_stream(&mut output, &mut input)
                .map_err(zstd_error)?;
            let taken = input.pos();
            *chunk = &chunk[taken..];
            self.complete = hint == 0;
            self.parser.push(&self.output)?;
            output_bytes += self.output.len();
            // The output buffer is not full, so the decoder has written all output of the input.
            if chunk.is_empty() && self.output.len() < self.output.capacity() {
                return Ok(false);
            }
        }
        Ok(!(self.complete && chunk.is_empty()))
    }

    fn finish(self) -> Result<Parsed, BodyError> {
        if self.complete {
            self.parser.finish()
        } else {
            Err(BodyError::unreadable(
                "the body is cut short: its last Zstandard frame is not complete",
            ))
        }
    }
}

fn zstd_error(code: usize) -> BodyError {
    let name = zstd::zstd_safe::get_error_name(code);
    BodyError::unreadable(format!(
        "the body is not Zstandard, or not a kind of Zstandard that is accepted: {name}"
    ))
}
