//! `fieldstation migrate`: what a store holds, into another store.

mod copying;
#[cfg(feature = "cloud")]
mod older;
mod readings;
#[cfg(feature = "cloud")]
mod sorted;
mod source;

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;

use super::{Failure, FailureKind};
use crate::backend_url::BackendUrl;

/// From where to where.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Where it is: sqlite:, dynamodb://PREFIX?region=…&endpoint=…, or dynamodb-table://TABLE?… of an older program
    #[arg(long, value_name = "URL")]
    from: BackendUrl,

    /// Where it goes
    #[arg(long, value_name = "URL")]
    to: BackendUrl,

    /// The data directory, for sqlite: and file:; refused while a server holds it
    #[arg(
        long,
        value_name = "DIR",
        env = "FIELDSTATION_DATA",
        default_value = "./fieldstation-data"
    )]
    data: PathBuf,

    /// Only look: read everything, name all that cannot be taken, and copy nothing
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Copies sensor by sensor, and changes nothing where they come from. Broken off, it goes on when it is
run again: sensors whose readings are the same on both sides are passed over, readings that are
there already change nothing. A reading that differs is replaced by the one that is copied. What
only the other side has stays there.

At the end both sides are compared: each copied sensor reading by reading, and the whole.

A table of an older program is one with the hash key sensor_id and the range key timestamp, or with
the hash key time alone. It is only read. Items that are no readings, and a second reading of the
same moment with another temperature, are named and counted; everything else is taken. It is put in
order in the folder for temporary files (TMPDIR), where a reading takes about 70 bytes meanwhile.

Examples:
  fieldstation migrate --from sqlite: --data /srv/fieldstation --to 'dynamodb://fleet?region=eu-west-1'
  fieldstation migrate --from 'dynamodb://fleet?region=eu-west-1' --to sqlite: --data ./copy
  fieldstation migrate --from 'dynamodb-table://TemperatureData?region=eu-west-1' --to 'dynamodb://fleet?region=eu-west-1' --dry-run

Exit codes: 0 the same on both sides; 1 different, or not all of it could be taken; 2 bad usage; 3 a
side cannot be opened.";

/// Copies, compares, and prints the result.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments {
        from,
        to,
        data,
        dry_run,
    } = arguments;
    if from == to {
        let error = anyhow!("--from and --to are the same: {from}");
        return Err(Failure::new(FailureKind::Configuration, error));
    }
    match Contents::of(from, to) {
        Contents::Readings => readings::run(from, to, data, *dry_run),
    }
}

/// What is copied: the two schemes tell, since only readings are in DynamoDB, only todos in PostgreSQL, and so on.
enum Contents {
    Readings,
}

impl Contents {
    fn of(_from: &BackendUrl, _to: &BackendUrl) -> Self {
        Self::Readings
    }
}
