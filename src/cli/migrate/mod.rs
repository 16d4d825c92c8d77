//! `fieldstation migrate`: copies the data of one store into another store.

mod copying;
mod failure;
#[cfg(feature = "cloud")]
mod files;
#[cfg(feature = "cloud")]
mod greeting;
#[cfg(feature = "cloud")]
mod older;
mod readings;
#[cfg(feature = "cloud")]
mod sorted;
mod source;
mod todos;

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;

use super::{Failure, FailureKind};
use crate::backend_url::BackendUrl;

/// The arguments of `migrate`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The source: a URL that the server takes, the URL of an older program's store, dynamodb-table://TABLE?region=… for its table,
    /// or manifest: for the database of manifest.json
    #[arg(long, value_name = "URL")]
    from: BackendUrl,

    /// The target: a URL that the server takes
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

    /// For readings: read everything, name the items that cannot be copied, and copy nothing
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
The two URLs determine the kind of data. The source is not changed. A copy that broke off continues
when the command is run again. At the end both sides are compared.

Readings (sqlite:, dynamodb:, dynamodb-table:) are copied sensor by sensor. Sensors with the same
readings on both sides are skipped. A copied reading replaces a different reading of the target with
the same timestamp. Readings that only the target has stay there. At the end each copied sensor is
compared reading by reading.

A table of an older program (dynamodb-table:) has the hash key sensor_id and the range key timestamp,
or only the hash key time. Items that are no readings are named and counted, and so are second
readings of the same sensor and time with another temperature. All other items are copied. The
readings are sorted in the folder for temporary files (TMPDIR), where each takes about 70 bytes.

Todos (postgres:, manifest:, sqlite:) are todos of a server, or of the older todo app, whose table is
recognized by its columns. They keep their ids and numbers. Todos that were changed or removed in the
target since an earlier copy stay as they are, and are named. At the end each todo is compared.

Files (s3:, file:) are copied device by device. A bucket is a store of this program, or the bucket of
an older service in which each key is the id of a device. The command prints which of the two it
found; layout=store or layout=keys in the URL decides. A key that is no device id is named. A newer
file in the target stays.

The greeting (redis:, rediss:, sqlite:) is the word of this program, or the string under the key
hello of an older page.

Examples:
  fieldstation migrate --from sqlite: --data /srv/fieldstation --to 'dynamodb://fleet?region=eu-west-1'
  fieldstation migrate --from 'dynamodb-table://Old?region=eu-west-1' --to sqlite: --dry-run
  fieldstation migrate --from sqlite: --to 'postgres://ann@db/fieldstation'
  fieldstation migrate --from 'postgres://ann@db/old' --to 'postgres://ann@db/old?schema=fieldstation'
  fieldstation migrate --from 's3://old?region=eu-west-1' --to 's3://new/files?region=eu-west-1'
  fieldstation migrate --from redis://cache --to 'redis://cache?prefix=station:'

Exit codes: 0 the same on both sides; 1 different, or some items could not be copied; 2 bad usage;
3 a store cannot be opened.";

/// Copies and compares the data, and prints the result.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments {
        from,
        to,
        data,
        dry_run,
    } = arguments;
    let contents =
        DataKind::of(from, to).map_err(|error| Failure::new(FailureKind::Configuration, error))?;
    // A manifest.json names the database of the older app's todos and of the server's todos. A Redis may hold the word of an older
    // page and the word of this program.
    if from == to && from.scheme() != "manifest" && contents != DataKind::Greeting {
        let error = anyhow!("--from and --to are the same: {from}");
        return Err(Failure::new(FailureKind::Configuration, error));
    }
    if *dry_run && contents != DataKind::Readings {
        let error = anyhow!("--dry-run is for readings only; leave the option out");
        return Err(Failure::new(FailureKind::Configuration, error));
    }
    match contents {
        DataKind::Readings => readings::run(from, to, data, *dry_run),
        DataKind::Todos => todos::run(from, to, data),
        #[cfg(feature = "cloud")]
        DataKind::Files => files::run(from, to, data),
        #[cfg(feature = "cloud")]
        DataKind::Greeting => greeting::run(from, to, data),
        #[cfg(not(feature = "cloud"))]
        DataKind::Files | DataKind::Greeting => {
            let error = anyhow!(
                "{from} or {to} needs a binary with the feature `cloud`, and this one was built without it"
            );
            Err(Failure::new(FailureKind::Configuration, error))
        }
    }
}

/// The kind of data that is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DataKind {
    Readings,
    Todos,
    Files,
    Greeting,
}

impl DataKind {
    /// The kind of data that both stores hold. The schemes tell the kind: only readings are in DynamoDB, only todos in PostgreSQL.
    fn of(from: &BackendUrl, to: &BackendUrl) -> Result<Self, anyhow::Error> {
        match (Self::of_url(from)?, Self::of_url(to)?) {
            (Some(from), Some(to)) if from == to => Ok(from),
            (Some(in_from), Some(in_to)) => Err(anyhow!(
                "{from} holds {}, and {to} takes {}; name two stores of the same kind of data",
                in_from.name(),
                in_to.name()
            )),
            (Some(one), None) | (None, Some(one)) => Ok(one),
            (None, None) => Err(anyhow!(
                "{from} and {to} are both in a data directory; copy a data directory with `fieldstation backup` and `restore`"
            )),
        }
    }

    /// The kind of data in a store; `None` for `sqlite:`, which may hold any kind except files.
    fn of_url(url: &BackendUrl) -> Result<Option<Self>, anyhow::Error> {
        Ok(Some(match url.scheme() {
            "sqlite" => return Ok(None),
            "dynamodb" | "dynamodb-table" => Self::Readings,
            "postgres" | "postgresql" | "manifest" => Self::Todos,
            "s3" | "file" => Self::Files,
            "redis" | "rediss" | "valkey" | "valkeys" => Self::Greeting,
            _ => {
                return Err(anyhow!(
                    "there is no store at {url}; write sqlite:, dynamodb:, dynamodb-table:, postgres:, manifest:, s3:, file: or redis:"
                ));
            }
        }))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Readings => "readings",
            Self::Todos => "todos",
            Self::Files => "files",
            Self::Greeting => "a greeting",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(from: &str, to: &str) -> Result<DataKind, String> {
        DataKind::of(&from.parse().unwrap(), &to.parse().unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_schemes_tell_what_is_copied() {
        for (from, to, contents) in [
            ("sqlite:", "dynamodb://a", DataKind::Readings),
            ("dynamodb-table://a", "sqlite:", DataKind::Readings),
            ("manifest:", "manifest:", DataKind::Todos),
            ("postgres://a@b/c", "sqlite:", DataKind::Todos),
            ("file:", "s3://a", DataKind::Files),
            ("rediss://a", "sqlite:", DataKind::Greeting),
        ] {
            assert_eq!(of(from, to), Ok(contents), "{from} {to}");
        }
    }

    #[test]
    fn sides_that_hold_different_things_are_refused_before_anything_is_opened() {
        for (from, to, words) in [
            ("s3://a", "dynamodb://b", "holds files"),
            ("postgres://a:s3cret@b/c", "redis://d", "takes a greeting"),
            ("sqlite:", "sqlite:other", "backup"),
            ("mysql://a", "sqlite:", "postgres:"),
        ] {
            let error = of(from, to).unwrap_err();
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
