//! Opens a file to import: plain or compressed, CSV or NDJSON.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;

use crate::cli::format::Format;

/// An open file, decompressed, with its format.
pub(super) struct Source {
    /// The name for messages.
    pub(super) name: String,
    pub(super) format: Format,
    /// The separator of CSV fields by the name of the file.
    pub(super) delimiter: u8,
    pub(super) input: Readable,
}

/// The file name that means standard input.
const STANDARD_INPUT: &str = "-";
const BUFFER_BYTES: usize = 256 * 1024;
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

impl Source {
    /// Opens a file, or standard input for `-`. The bar counts the bytes of the file on disk, before decompression.
    ///
    /// # Errors
    /// The file cannot be read, or is neither CSV nor NDJSON.
    pub(super) fn open(
        path: &Path,
        format: Option<Format>,
        progress: &ProgressBar,
    ) -> Result<Self> {
        let standard_input = path.as_os_str() == STANDARD_INPUT;
        let name = if standard_input {
            "standard input".to_owned()
        } else {
            path.display().to_string()
        };
        let raw: Box<dyn Read + Send> = if standard_input {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(path).with_context(|| format!("cannot open {name}"))?)
        };
        let input = decompressed(progress.wrap_read(raw))
            .and_then(without_byte_order_mark)
            .map_err(|error| anyhow!("{name}: {}", explain(&error)))?;
        let (format, input) = match format.or_else(|| by_extension(path)) {
            Some(format) => (format, input),
            None => by_content(input, &name)?,
        };
        Ok(Self {
            name,
            format,
            delimiter: delimiter(path),
            input,
        })
    }
}

/// Checks that all files exist before the first file is read.
///
/// # Errors
/// The first file that does not exist or is a directory.
pub(super) fn check(paths: &[impl AsRef<Path>]) -> Result<()> {
    for path in paths.iter().map(AsRef::as_ref) {
        if path.as_os_str() == STANDARD_INPUT {
            continue;
        }
        let metadata = path
            .metadata()
            .with_context(|| format!("cannot open {}", path.display()))?;
        if metadata.is_dir() {
            bail!("{} is a directory; name the files in it", path.display());
        }
    }
    Ok(())
}

/// The total size of all files on disk in bytes; `None` if a file has no size, such as a pipe.
pub(super) fn total_bytes(paths: &[impl AsRef<Path>]) -> Option<u64> {
    paths
        .iter()
        .map(|path| {
            let metadata = path.as_ref().metadata().ok()?;
            metadata.is_file().then_some(metadata.len())
        })
        .sum()
}

/// A read error in words for the user.
pub(super) fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            "the compressed data ends early: the file is not complete".to_owned()
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
            format!("the compressed data is damaged ({error})")
        }
        _ => format!("it cannot be read on: {error}"),
    }
}

type Readable = Box<dyn BufRead + Send>;

fn decompressed(raw: impl Read + Send + 'static) -> io::Result<Readable> {
    let raw = BufReader::with_capacity(BUFFER_BYTES, raw);
    let (head, raw) = peek(raw, |head| head.len() == ZSTD_MAGIC.len())?;
    let raw = io::Cursor::new(head.clone()).chain(raw);
    Ok(if head.starts_with(GZIP_MAGIC) {
        Box::new(BufReader::with_capacity(
            BUFFER_BYTES,
            MultiGzDecoder::new(raw),
        ))
    } else if head.starts_with(ZSTD_MAGIC) {
        Box::new(BufReader::with_capacity(
            BUFFER_BYTES,
            zstd::stream::read::Decoder::with_buffer(raw)?,
        ))
    } else {
        Box::new(raw)
    })
}

fn without_byte_order_mark(input: Readable) -> io::Result<Readable> {
    let (mut head, input) = peek(input, |head| {
        !BYTE_ORDER_MARK.starts_with(head) || head.len() == 3
    })?;
    if head == BYTE_ORDER_MARK {
        head.clear();
    }
    Ok(Box::new(io::Cursor::new(head).chain(input)))
}

fn by_extension(path: &Path) -> Option<Format> {
    match extension(path)?.as_str() {
        "csv" | "tsv" => Some(Format::Csv),
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        _ => None,
    }
}

/// The separator of CSV fields in a file with this name.
fn delimiter(path: &Path) -> u8 {
    if extension(path).as_deref() == Some("tsv") {
        b'\t'
    } else {
        b','
    }
}

/// The extension in lower case, without the extension of a compression.
fn extension(path: &Path) -> Option<String> {
    let lower = |path: &Path| Some(path.extension()?.to_str()?.to_lowercase());
    match lower(path)?.as_str() {
        "gz" | "zst" => lower(Path::new(path.file_stem()?)),
        other => Some(other.to_owned()),
    }
}

fn by_content(input: Readable, name: &str) -> Result<(Format, Readable)> {
    const BLANK_BYTES_MAX: usize = 4096;
    let (head, input) = peek(input, |head| {
        head.len() >= BLANK_BYTES_MAX || head.last().is_some_and(|byte| !byte.is_ascii_whitespace())
    })
    .map_err(|error| anyhow!("{name}: {}", explain(&error)))?;
    let format = match head.last() {
        Some(b'{') => Format::Ndjson,
        Some(b'[') => bail!(
            "{name} looks like one JSON array; import reads an object on each line, which \
             `jq -c '.[]' FILE` makes of it"
        ),
        _ => Format::Csv,
    };
    Ok((format, Box::new(io::Cursor::new(head).chain(input))))
}

/// Reads bytes from the start until `enough` returns true or the input ends. Reads byte by byte, because a pipe may have no
/// more bytes yet.
fn peek<R: BufRead>(mut input: R, enough: impl Fn(&[u8]) -> bool) -> io::Result<(Vec<u8>, R)> {
    let mut head = Vec::new();
    while !enough(&head) {
        let Some(&byte) = input.fill_buf()?.first() else {
            break;
        };
        head.push(byte);
        input.consume(1);
    }
    Ok((head, input))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn open(bytes: &[u8], name: &str) -> Result<(Source, String)> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join(name);
        std::fs::write(&path, bytes)?;
        let mut source = Source::open(&path, None, &ProgressBar::hidden())?;
        let mut text = String::new();
        source.input.read_to_string(&mut text)?;
        Ok((source, text))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_format_is_told_by_name_then_by_content() {
        for (name, content, format) in [
            ("a.csv", "{", Format::Csv),
            ("a.NDJSON", "x", Format::Ndjson),
            ("a.jsonl.gz", "x", Format::Ndjson),
            ("a.txt", " \n\t{\"a\":1}", Format::Ndjson),
            ("a", "a,b", Format::Csv),
            ("a", "", Format::Csv),
        ] {
            let (source, text) = open(content.as_bytes(), name).unwrap();
            assert_eq!(source.format, format, "{name}");
            assert_eq!(text, content);
        }
        assert!(open(b"[{}]", "a.json").is_err());
    }

    #[test]
    fn compression_is_told_by_content_and_a_byte_order_mark_left_out() {
        let text = "\u{feff}{}\n".repeat(3000);
        let plain = text.trim_start_matches('\u{feff}');
        let two_members = [gzip(&text.as_bytes()[..7]), gzip(&text.as_bytes()[7..])].concat();
        let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
        for bytes in [text.as_bytes(), &gzip(text.as_bytes()), &two_members, &zstd] {
            let (source, found) = open(bytes, "a").unwrap();
            assert_eq!(found, plain);
            assert_eq!(source.format, Format::Ndjson);
        }
    }

    #[test]
    fn a_compressed_file_that_was_cut_or_changed_is_an_error() {
        let text = (0..100_000).map(|n| format!("{n}\n")).collect::<String>();
        let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
        for whole in [gzip(text.as_bytes()), zstd] {
            for cut in [1, 4, 100, whole.len() / 2] {
                let error = open(&whole[..whole.len() - cut], "a").err().unwrap();
                let error: &io::Error = error.downcast_ref().unwrap();
                assert!(explain(error).contains("ends early"), "{cut}: {error:?}");
            }
            let mut changed = whole.clone();
            changed[whole.len() / 2] ^= 0x10;
            if let Err(error) = open(&changed, "a") {
                let error: &io::Error = error.downcast_ref().unwrap();
                assert!(explain(error).contains("damaged"), "{error:?}");
            } else {
                assert!(whole.starts_with(ZSTD_MAGIC), "gzip has a checksum");
            }
        }
    }
}
