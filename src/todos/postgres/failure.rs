//! What PostgreSQL's errors mean.

use std::io;

use sqlx_core::error::Error;
use sqlx_core::migrate::MigrateError;

use crate::error::{StoreError, StoreErrorKind};

/// What is wrong, as far as it decides what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It cannot be reached, or is starting, stopping or full of connections: that passes.
    Away,
    /// It does not let us in, or is not who it should be: somebody has to look.
    Refused,
    /// It takes no writes: a standby, or the primary that was.
    ReadOnly,
    /// It did not do it in time.
    TooSlow,
    /// Its disk is full.
    Full,
    /// Anything else.
    Other,
}

impl Cause {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            // A certificate that is not accepted comes as data that is not.
            Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => Self::Refused,
            Error::Io(_) | Error::Protocol(_) => Self::Away,
            Error::Tls(_) | Error::Configuration(_) => Self::Refused,
            Error::Database(error) => error
                .code()
                .map_or(Self::Other, |code| Self::of_code(&code)),
            _ => Self::Other,
        }
    }

    /// By the table of codes in PostgreSQL's manual, appendix A.
    fn of_code(code: &str) -> Self {
        match code {
            "25006" => Self::ReadOnly,
            // Cancelled, by the time limit; a lock not given in time; a deadlock.
            "57014" | "55P03" | "40P01" => Self::TooSlow,
            "53100" => Self::Full,
            // The database takes no connections at the moment (`ALLOW_CONNECTIONS false`).
            "55000" => Self::Away,
            // Not allowed, no such database, a password that is wrong.
            "42501" | "3D000" => Self::Refused,
            _ => match code.get(..2) {
                Some("28") => Self::Refused,
                Some("08" | "53" | "57" | "58") => Self::Away,
                _ => Self::Other,
            },
        }
    }

    fn kind(self) -> StoreErrorKind {
        match self {
            Self::Away | Self::Refused | Self::ReadOnly | Self::TooSlow => {
                StoreErrorKind::Unavailable
            }
            Self::Full => StoreErrorKind::StorageFull,
            Self::Other => StoreErrorKind::Internal,
        }
    }
}

/// The error of a statement. `what` completes "could not".
pub(super) fn failed(what: &str, error: Error) -> StoreError {
    let cause = Cause::of(&error);
    let why = match cause {
        Cause::Away => "PostgreSQL cannot be reached",
        Cause::Refused => "PostgreSQL does not accept this server; see its log",
        Cause::ReadOnly => "PostgreSQL takes no writes at the moment",
        Cause::TooSlow => "PostgreSQL took too long",
        Cause::Full => "the disk of PostgreSQL is full",
        Cause::Other => "PostgreSQL reports an error",
    };
    StoreError::new(cause.kind(), format!("could not {what}: {why}")).with_source(error)
}

/// Nothing came of it in time.
pub(super) fn timed_out(what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!("could not {what}: PostgreSQL does not answer"),
    )
}

/// The error of bringing the tables up to date, and its cause.
pub(super) fn migration_failed(error: MigrateError) -> (Cause, StoreError) {
    let cause = match &error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Cause::of(error),
        _ => Cause::Other,
    };
    let message = match &error {
        MigrateError::VersionMismatch(version) => format!(
            "PostgreSQL has other tables than this program: change {version} was edited after it ran; run the version of \
             fieldstation that made them"
        ),
        _ if cause == Cause::Away => "PostgreSQL cannot be reached".to_owned(),
        _ => "could not bring the tables in PostgreSQL up to date".to_owned(),
    };
    (
        cause,
        StoreError::new(cause.kind(), message).with_source(error),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_mean_what_the_manual_says() {
        for (code, cause) in [
            ("57P03", Cause::Away),
            ("57P01", Cause::Away),
            ("53300", Cause::Away),
            ("55000", Cause::Away),
            ("08006", Cause::Away),
            ("53100", Cause::Full),
            ("28P01", Cause::Refused),
            ("3D000", Cause::Refused),
            ("57014", Cause::TooSlow),
            ("25006", Cause::ReadOnly),
            ("42P01", Cause::Other),
            ("", Cause::Other),
        ] {
            assert_eq!(Cause::of_code(code), cause, "{code}");
        }
    }
}
