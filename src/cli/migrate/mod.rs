//! `fieldstation migrate`: what a store holds, into another store.

mod copying;
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

/// From where to where.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Where it is: a URL as the server takes it, dynamodb-table://TABLE?region=… or that of an older program's store, or manifest:
    /// for the database of manifest.json
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

    /// Only look, at readings: read everything, name all that cannot be taken, and copy nothing
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
The two URLs tell what is copied. Nothing changes where it comes from. Broken off, it goes on
when it is run again, and it ends with a comparison of both sides.

Readings (sqlite:, dynamodb:, dynamodb-table:) go sensor by sensor: sensors whose readings are
the same on both sides are passed over, readings that are there already change nothing. A
reading that differs is replaced by the one that is copied. What only the other side has stays
there. At the end each copied sensor is compared reading by reading.

A table of an older program (dynamodb-table:) is one with the hash key sensor_id and the range
key timestamp, or with the hash key time alone. Items that are no readings, and a second
reading of the same moment with another temperature, are named and counted; everything else is
taken. It is put in order in the folder for temporary files (TMPDIR), where a reading takes
about 70 bytes meanwhile.

Todos (postgres:, manifest:, sqlite:) may be those of a server, or those of the older todo app,
whose table is found by its columns. They keep their ids and numbers. What was changed or
removed on the new side since it was copied is left as it is there, and named. At the end each
todo is compared.

Files (s3:, file:) go device by device. A bucket may be a store of this program, or that of an
older service in which each key is the id of a device: which one it is taken for is said;
layout=store or layout=keys in the URL decides. A key that is no id is named, a file that is
newer on the other side stays.

The greeting (redis:, rediss:, sqlite:) may be a word of this program, or the string under the
key hello of an older page.

Examples:
  fieldstation migrate --from sqlite: --data /srv/fieldstation --to 'dynamodb://fleet?region=eu-west-1'
  fieldstation migrate --from 'dynamodb-table://Old?region=eu-west-1' --to sqlite: --dry-run
  fieldstation migrate --from sqlite: --to 'postgres://ann@db/fieldstation'
  fieldstation migrate --from 'postgres://ann@db/old' --to 'postgres://ann@db/old?schema=fieldstation'
  fieldstation migrate --from 's3://old?region=eu-west-1' --to 's3://new/files?region=eu-west-1'
  fieldstation migrate --from redis://cache --to 'redis://cache?prefix=station:'

Exit codes: 0 the same on both sides; 1 different, or not all of it could be taken; 2 bad
usage; 3 a side cannot be opened.";

/// Copies, compares, and prints the result.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments {
        from,
        to,
        data,
        dry_run,
    } = arguments;
    let contents =
        Contents::of(from, to).map_err(|error| Failure::new(FailureKind::Configuration, error))?;
    // One manifest.json says both where the older app's todos are and where the server keeps its own, and one Redis may hold the word of
    // an older page and ours.
    if from == to && from.scheme() != "manifest" && contents != Contents::Greeting {
        let error = anyhow!("--from and --to are the same: {from}");
        return Err(Failure::new(FailureKind::Configuration, error));
    }
    if *dry_run && contents != Contents::Readings {
        let error = anyhow!("--dry-run is for readings; leave it out");
        return Err(Failure::new(FailureKind::Configuration, error));
    }
    match contents {
        Contents::Readings => readings::run(from, to, data, *dry_run),
        Contents::Todos => todos::run(from, to, data),
        #[cfg(feature = "cloud")]
        Contents::Files => files::run(from, to, data),
        #[cfg(feature = "cloud")]
        Contents::Greeting => greeting::run(from, to, data),
        #[cfg(not(feature = "cloud"))]
        Contents::Files | Contents::Greeting => {
            let error = anyhow!(
                "{from} or {to} needs a binary with the feature `cloud`, and this one was built without it"
            );
            Err(Failure::new(FailureKind::Configuration, error))
        }
    }
}

/// What is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contents {
    Readings,
    Todos,
    Files,
    Greeting,
}

impl Contents {
    /// What both sides hold. The schemes tell, since only readings are in DynamoDB, only todos in PostgreSQL, and so on.
    fn of(from: &BackendUrl, to: &BackendUrl) -> Result<Self, anyhow::Error> {
        match (Self::in_one(from)?, Self::in_one(to)?) {
            (Some(from), Some(to)) if from == to => Ok(from),
            (Some(in_from), Some(in_to)) => Err(anyhow!(
                "{from} holds {}, and {to} takes {}; both sides of a copy hold the same",
                in_from.name(),
                in_to.name()
            )),
            (Some(one), None) | (None, Some(one)) => Ok(one),
            (None, None) => Err(anyhow!(
                "{from} and {to} are both in a data directory; `fieldstation backup` and `restore` copy one"
            )),
        }
    }

    /// What a store holds; none for `sqlite:`, which may be anything but files.
    fn in_one(url: &BackendUrl) -> Result<Option<Self>, anyhow::Error> {
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

    fn of(from: &str, to: &str) -> Result<Contents, String> {
        Contents::of(&from.parse().unwrap(), &to.parse().unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_schemes_tell_what_is_copied() {
        for (from, to, contents) in [
            ("sqlite:", "dynamodb://a", Contents::Readings),
            ("dynamodb-table://a", "sqlite:", Contents::Readings),
            ("manifest:", "manifest:", Contents::Todos),
            ("postgres://a@b/c", "sqlite:", Contents::Todos),
            ("file:", "s3://a", Contents::Files),
            ("rediss://a", "sqlite:", Contents::Greeting),
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
