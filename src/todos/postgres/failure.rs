//! What PostgreSQL's errors mean.

use std::io;

use sqlx_core::error::{DatabaseError, Error};

use crate::error;
use crate::error::{SHUTTING_DOWN, StoreError, StoreErrorKind};

/// What is wrong, as far as it decides what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// This server is shutting down.
    Closed,
    /// It cannot be reached, or is starting, stopping or full of connections: that passes.
    Away,
    /// It does not let us in, or is not who it should be: somebody has to look.
    Refused,
    /// There is no such database.
    NoDatabase,
    /// The user may not do this.
    NoRight,
    /// The tables are not there, or not as they were made.
    NoTables,
    /// A pooler stands between that was not told of.
    Pooled,
    /// It takes no writes: a standby, or the primary that was.
    ReadOnly,
    /// It did not do it in time.
    TooSlow,
    /// Its disk is full.
    Full,
    /// Anything else.
    Other,
}

/// What was sent at the start of a session did not arrive.
#[derive(Debug, thiserror::Error)]
#[error("the parameters of the session do not arrive")]
pub(super) struct PoolerInBetween;

impl Cause {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::PoolClosed => Self::Closed,
            // A certificate that is not accepted comes as data that is not.
            Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => Self::Refused,
            Error::Io(_) | Error::Protocol(_) => Self::Away,
            Error::Configuration(error) if error.is::<PoolerInBetween>() => Self::Pooled,
            Error::Tls(_) | Error::Configuration(_) => Self::Refused,
            Error::Database(error) => Self::of_database(&**error),
            _ => Self::Other,
        }
    }

    fn of_database(error: &dyn DatabaseError) -> Self {
        // PgBouncer's own words; PostgreSQL takes every parameter that is sent.
        let message = error.message();
        if message.starts_with("unsupported startup parameter") {
            return Self::Pooled;
        }
        // An older PgBouncer has one code for all its refusals.
        if error.code().as_deref() == Some("08P01") {
            if message.starts_with("no such database") {
                return Self::NoDatabase;
            }
            if message.contains("authentication failed") || message.starts_with("no such user") {
                return Self::Refused;
            }
        }
        let code = error.code();
        code.map_or(Self::Other, |code| Self::of_code(&code))
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
            "3D000" => Self::NoDatabase,
            "42501" => Self::NoRight,
            // No such table, column or schema.
            "42P01" | "42703" | "3F000" => Self::NoTables,
            // A prepared statement that is not there, or is there already: another session is on the other end.
            "26000" | "42P05" => Self::Pooled,
            _ => match code.get(..2) {
                Some("28") => Self::Refused,
                Some("08" | "53" | "57" | "58") => Self::Away,
                _ => Self::Other,
            },
        }
    }

    const fn kind(self) -> StoreErrorKind {
        match self {
            Self::Closed | Self::Away | Self::ReadOnly | Self::TooSlow => {
                StoreErrorKind::Unavailable
            }
            Self::Refused | Self::NoDatabase | Self::NoRight | Self::NoTables | Self::Pooled => {
                StoreErrorKind::Denied
            }
            Self::Full => StoreErrorKind::StorageFull,
            Self::Other => StoreErrorKind::Internal,
        }
    }

    const fn why(self) -> &'static str {
        match self {
            Self::Closed => SHUTTING_DOWN,
            Self::Away => "PostgreSQL cannot be reached",
            Self::Refused => {
                "PostgreSQL does not let this server in: correct the user, the password or the certificates, or see its log"
            }
            Self::NoDatabase => {
                "PostgreSQL has no such database: make it, or correct the name in --todos or manifest.json"
            }
            Self::NoRight => {
                "PostgreSQL denies it: the user lacks a right on the tables of the todos (GRANT SELECT, INSERT, UPDATE, DELETE)"
            }
            Self::NoTables => {
                "the tables of the todos in PostgreSQL are gone, or are not as they were made: restore them; a restart of this \
                 server says what is missing"
            }
            Self::Pooled => {
                "a pooler such as PgBouncer stands between this server and PostgreSQL: add ?pgbouncer=true to the URL of \
                 --todos, or \"pgbouncer\": true to manifest.json"
            }
            Self::ReadOnly => "PostgreSQL takes no writes at the moment",
            Self::TooSlow => "PostgreSQL took too long",
            Self::Full => "the disk of PostgreSQL is full",
            Self::Other => "PostgreSQL reports an error",
        }
    }
}

/// A failure: what it means, and the error for whoever asked.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// What is wrong, whatever was to be done.
    pub(super) why: String,
    error: StoreError,
}

impl Failure {
    /// The error of a statement. `what` completes "could not".
    pub(super) fn of(what: &str, error: Error) -> Self {
        let cause = Cause::of(&error);
        let mut failure = Self::again(what, cause, cause.why(), None);
        failure.error = failure.error.with_source(error);
        failure
    }

    /// The same failure of something else.
    pub(super) fn again(what: &str, cause: Cause, why: &str, source: Option<String>) -> Self {
        let message = match cause {
            Cause::Closed => why.to_owned(),
            _ => format!("could not {what}: {why}"),
        };
        let error = StoreError::new(cause.kind(), message);
        Self {
            cause,
            why: why.to_owned(),
            error: match source {
                Some(source) => error.with_source(source),
                None => error,
            },
        }
    }

    /// Nothing came of it in time.
    pub(super) fn timed_out(what: &str) -> Self {
        Self::again(what, Cause::Away, "PostgreSQL does not answer", None)
    }

    /// Something that no statement says.
    pub(super) fn new(cause: Cause, why: impl Into<String>) -> Self {
        let why = why.into();
        Self {
            cause,
            error: StoreError::new(cause.kind(), why.clone()),
            why,
        }
    }

    /// A cause that no statement failed of.
    pub(super) fn known(cause: Cause) -> Self {
        Self::new(cause, cause.why())
    }

    /// Whether it may pass by itself.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self.cause, Cause::Away | Cause::ReadOnly | Cause::TooSlow)
    }

    /// What lies below it, as a text.
    pub(super) fn source_text(&self) -> Option<String> {
        std::error::Error::source(&self.error).map(error::chain)
    }

    /// What is to be told of it in the log, whatever was to be done.
    pub(super) fn for_log(&self) -> StoreError {
        let error = StoreError::new(self.cause.kind(), self.why.clone());
        match self.source_text() {
            Some(source) => error.with_source(source),
            None => error,
        }
    }

    pub(super) fn into_error(self) -> StoreError {
        self.error
    }
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
            ("3D000", Cause::NoDatabase),
            ("42501", Cause::NoRight),
            ("57014", Cause::TooSlow),
            ("25006", Cause::ReadOnly),
            ("42P01", Cause::NoTables),
            ("26000", Cause::Pooled),
            ("22001", Cause::Other),
            ("", Cause::Other),
        ] {
            assert_eq!(Cause::of_code(code), cause, "{code}");
        }
    }
}
