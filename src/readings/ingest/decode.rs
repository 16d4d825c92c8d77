//! Undoes the compression of a body while it arrives, straight into the parser.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::body::{BatchParser, BodyError};
use super::collector::Parsed;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// gzip, of one or more members.
    Gzip,
    /// Zstandard, of one or more frames, with windows of at most 8 MiB.
    Zstd,
}

/// The largest window a Zstandard frame may ask for: 2²³ bytes, which is what RFC 9659 allows on the web.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// As much is decompressed at a time as this holds, so that a bomb meets the limit before it takes memory.
const ZSTD_OUTPUT_BYTES: usize = 32 * 1024;
/// How much comes out of a step at the most: a hundred microseconds of parsing or so, then others get their turn.
const ZSTD_STEP_BYTES: usize = 256 * 1024;
/// How much goes into a step: gzip makes at most a thousand times as much of it.
const GZIP_STEP_BYTES: usize = 512;
const IDENTITY_STEP_BYTES: usize = 64 * 1024;
/// What the state, the window and the buffer of a gzip decoder take.
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
    /// When there is no memory for it.
    pub fn new(encoding: Encoding, parser: BatchParser) -> io::Result<Self> {
        Ok(Self(match encoding {
            Encoding::Identity => Stage::Identity(Box::new(parser)),
            Encoding::Gzip => Stage::Gzip(Box::new(MultiGzDecoder::new(Sink {
                parser,
                failed: None,
            }))),
            Encoding::Zstd => Stage::Zstd(Box::new(Zstd::new(parser)?)),
        }))
    }

    /// Takes from the front of the next piece as much as is a small step of work, and says whether there is more to do with
    /// what was given so far. Even a few bytes of a bomb can be many steps.
    ///
    /// # Errors
    /// As [`BatchParser::push`], and when the compression is broken.
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

    /// Decompressed bytes so far.
    pub fn bytes(&self) -> usize {
        self.parser().bytes()
    }

    /// Bytes of memory held, about.
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

/// Cuts at most `bytes_max` bytes off the front.
fn take<'a>(chunk: &mut &'a [u8], bytes_max: usize) -> &'a [u8] {
    let (front, rest) = chunk.split_at(chunk.len().min(bytes_max));
    *chunk = rest;
    front
}

fn gzip_error(decoder: &mut MultiGzDecoder<Sink>) -> BodyError {
    let failed = decoder.get_mut().failed.clone();
    failed.unwrap_or_else(|| {
        BodyError::unreadable("the body is not gzip, or it is damaged or cut short")
    })
}

/// Where a decoder writes to: remembers why the parser stopped it, and takes nothing from then on.
struct Sink {
    parser: BatchParser,
    failed: Option<BodyError>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed.is_none()
            && let Err(error) = self.parser.push(bytes)
        {
            self.failed = Some(error);
        }
        match self.failed {
            None => Ok(bytes.len()),
            Some(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Zstandard by its own context, which tells how much memory the windows take.
struct Zstd {
    context: DCtx<'static>,
    output: Vec<u8>,
    parser: BatchParser,
    /// Whether the bytes so far end with a frame.
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
        let mut came_out = 0;
        // After a complete frame nothing is left to come out, and no bytes are not the start of another.
        while came_out < ZSTD_STEP_BYTES && !(self.complete && chunk.is_empty()) {
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
            came_out += self.output.len();
            // A buffer that is not full means that all that went in has come out.
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
        "the body is not Zstandard that is accepted: {name}"
    ))
}
