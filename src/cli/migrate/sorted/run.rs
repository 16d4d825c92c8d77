//! Sorted records in temporary files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::random;

/// The most bytes of a timestamp's text. A key of DynamoDB has at most 2,048 bytes.
const TEXT_BYTES_MAX: usize = u16::MAX as usize;

/// A reading with the number of the sensor, and the timestamp in the spelling of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) sensor: u32,
    pub(super) micros: i64,
    pub(super) micro_degrees: i64,
    pub(super) text: Box<str>,
}

/// Sorted records in a temporary file, read from the beginning.
#[derive(Debug)]
pub(super) struct Run(BufReader<File>);

impl Run {
    /// Writes ordered records.
    ///
    /// # Errors
    /// The disk fails or is full.
    pub(super) fn write(records: &[Record]) -> io::Result<Self> {
        let mut out = BufWriter::new(temporary_file()?);
        for record in records {
            let text = record.text.as_bytes();
            let text = &text[..text.len().min(TEXT_BYTES_MAX)];
            out.write_all(&record.sensor.to_le_bytes())?;
            out.write_all(&record.micros.to_le_bytes())?;
            out.write_all(&record.micro_degrees.to_le_bytes())?;
            out.write_all(&(text.len() as u16).to_le_bytes())?;
            out.write_all(text)?;
        }
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        io::Seek::rewind(&mut file)?;
        Ok(Self(BufReader::new(file)))
    }

    /// The next record; `None` after the last.
    ///
    /// # Errors
    /// The disk fails.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        let mut head = [0; 22];
        if io::BufRead::fill_buf(&mut self.0)?.is_empty() {
            return Ok(None);
        }
        self.0.read_exact(&mut head)?;
        let mut number = [0; 4];
        number.copy_from_slice(&head[..4]);
        let long = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&head[at..at + 8]);
            i64::from_le_bytes(bytes)
        };
        let length = u16::from_le_bytes([head[20], head[21]]);
        let mut text = vec![0; usize::from(length)];
        self.0.read_exact(&mut text)?;
        Ok(Some(Record {
            sensor: u32::from_le_bytes(number),
            micros: long(4),
            micro_degrees: long(12),
            text: String::from_utf8_lossy(&text).into(),
        }))
    }
}

/// A file without a name: the system removes it when the process ends.
pub(super) fn temporary_file() -> io::Result<File> {
    let folder = std::env::temp_dir();
    let path: PathBuf = folder.join(format!(".fieldstation-{}", random::timed_name()));
    let in_folder = |error: io::Error| {
        let message = format!("a temporary file in {} (TMPDIR): {error}", folder.display());
        io::Error::new(error.kind(), message)
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(in_folder)?;
    fs::remove_file(&path).map_err(in_folder)?;
    Ok(file)
}
