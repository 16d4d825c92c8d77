//! The text formats of readings, as values of `--format`.

use clap::ValueEnum;

use crate::readings::encode::TextFormat;

/// How readings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A row for each reading, below a header such as sensorId,timestamp,temperature.
    Csv,
    /// A JSON object on each line.
    Ndjson,
}

impl From<Format> for TextFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Csv => Self::Csv,
            Format::Ndjson => Self::Ndjson,
        }
    }
}
