//! Translates errors of PostgreSQL.

use std::io;

use sqlx_core::error::{DatabaseError, Error};

use crate::error;
use crate::error::{StoreError, StoreErrorKind};

/// The cause of an error. The cause decides the next step of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// This server is shutting down.
    Closed,
    /// PostgreSQL cannot be reached, is starting or stopping, or has too many connections. Ends without an operator.
    Unavailable,
    /// PostgreSQL rejects the login, or the certificate of PostgreSQL is wrong. Needs an operator.
    AccessRefused,
    /// The database does not exist.
    DatabaseMissing,
    /// The user lacks a right.
    PermissionDenied,
    /// The tables are missing or changed.
    TablesMissing,
    /// There is a pooler before PostgreSQL, and the configuration does not say so.
    UndeclaredPooler,
    /// PostgreSQL accepts no writes: a standby, or a former primary.
    ReadOnly,
    /// A statement took too long.
    Timeout,
    /// The disk of PostgreSQL is full.
    DiskFull,
    /// Anything else.
    Other,
}

/// PostgreSQL did not receive the parameters from the start of the session.
#[derive(Debug, thiserror::Error)]
#[error("PostgreSQL does not receive the parameters of the session")]
pub(super) struct PoolerError;

impl Cause {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::PoolClosed => Self::Closed,
            // A rejected certificate is reported as invalid data.
            Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => Self::AccessRefused,
            Error::Io(_) | Error::Protocol(_) => Self::Unavailable,
            Error::Configuration(error) if error.is::<PoolerError>() => Self::UndeclaredPooler,
            Error::Tls(_) | Error::Configuration(_) => Self::AccessRefused,
            Error::Database(error) => Self::of_database(&**error),
            _ => Self::Other,
        }
    }

    fn of_database(error: &dyn DatabaseError) -> Self {
        // The text comes from PgBouncer. PostgreSQL accepts every parameter of this program.
        let message = error.message();
        if message.starts_with("unsupported startup parameter") {
            return Self::UndeclaredPooler;
        }
        // Older versions of PgBouncer have the same code for all refusals.
        if error.code().as_deref() == Some("08P01") {
            if message.starts_with("no such database") {
                return Self::DatabaseMissing;
            }
            if message.contains("authentication failed") || message.starts_with("no such user") {
                return Self::AccessRefused;
            }
        }
        let code = error.code();
        code.map_or(Self::Other, |code| Self::of_code(&code))
    }

    /// By the table of codes in PostgreSQL's manual, appendix A.
    fn of_code(code: &str) -> Self {
        match code {
            "25006" => Self::ReadOnly,
            // A statement cancelled at the time limit; a lock not granted in time; a deadlock.
            "57014" | "55P03" | "40P01" => Self::Timeout,
            "53100" => Self::DiskFull,
            // The database accepts no connections at the moment (`ALLOW_CONNECTIONS false`).
            "55000" => Self::Unavailable,
            "3D000" => Self::DatabaseMissing,
            "42501" => Self::PermissionDenied,
            // A missing table, column or schema.
            "42P01" | "42703" | "3F000" => Self::TablesMissing,
            // A prepared statement is missing, or exists already: a pooler has switched the session.
            "26000" | "42P05" => Self::UndeclaredPooler,
            _ => match code.get(..2) {
                Some("28") => Self::AccessRefused,
                Some("08" | "53" | "57" | "58") => Self::Unavailable,
                _ => Self::Other,
            },
        }
    }

    const fn kind(self) -> StoreErrorKind {
        match self {
            Self::Closed | Self::Unavailable | Self::ReadOnly | Self::Timeout => {
                StoreErrorKind::Unavailable
            }
            Self::AccessRefused
            | Self::DatabaseMissing
            | Self::PermissionDenied
            | Self::TablesMissing
            | Self::UndeclaredPooler => StoreErrorKind::Denied,
            Self::DiskFull => StoreErrorKind::StorageFull,
            Self::Other => StoreErrorKind::Internal,
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Closed => "the server is shutting down; send the request to another server",
            Self::Unavailable => "PostgreSQL cannot be reached",
            Self::AccessRefused => {
                "PostgreSQL does not let this server in: correct the user, the password or the certificates, or see its log"
            }
            Self::DatabaseMissing => {
                "PostgreSQL has no such database: make it, or correct the name in --todos or manifest.json"
            }
            Self::PermissionDenied => {
                "PostgreSQL denies it: the user lacks a right on the tables of the todos (GRANT SELECT, INSERT, UPDATE, DELETE)"
            }
            Self::TablesMissing => {
                "the tables of the todos in PostgreSQL are gone, or are not as they were made: restore them; a restart of this \
                 server says what is missing"
            }
            Self::UndeclaredPooler => {
                "a pooler such as PgBouncer stands between this server and PostgreSQL: add ?pgbouncer=true to the URL of \
                 --todos, or \"pgbouncer\": true to manifest.json"
            }
            Self::ReadOnly => "PostgreSQL takes no writes at the moment",
            Self::Timeout => "PostgreSQL took too long",
            Self::DiskFull => "the disk of PostgreSQL is full",
            Self::Other => "PostgreSQL reports an error",
        }
    }
}

/// An error with the cause, for the caller and for the log.
#[derive(Debug)]
pub(super) struct PostgresError {
    pub(super) cause: Cause,
    /// The reason without the failed action.
    pub(super) reason: String,
    error: StoreError,
}

impl PostgresError {
    /// The error of a statement. `action` completes "could not".
    pub(super) fn from_sqlx(action: &str, error: Error) -> Self {
        let cause = Cause::of(&error);
        let mut translated = Self::repeated(action, cause, cause.reason(), None);
        translated.error = translated.error.with_source(error);
        translated
    }

    /// An earlier error, reported again for another action. `action` completes "could not".
    pub(super) fn repeated(
        action: &str,
        cause: Cause,
        reason: &str,
        source: Option<String>,
    ) -> Self {
        let message = match cause {
            Cause::Closed => reason.to_owned(),
            _ => format!("could not {action}: {reason}"),
        };
        let error = StoreError::new(cause.kind(), message);
        Self {
            cause,
            reason: reason.to_owned(),
            error: match source {
                Some(source) => error.with_source(source),
                None => error,
            },
        }
    }

    /// The error of an action without an answer. `action` completes "could not".
    pub(super) fn timed_out(action: &str) -> Self {
        Self::repeated(
            action,
            Cause::Unavailable,
            "PostgreSQL does not answer",
            None,
        )
    }

    /// An error found by this program, with a special reason.
    pub(super) fn new(cause: Cause, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self {
            cause,
            error: StoreError::new(cause.kind(), reason.clone()),
            reason,
        }
    }

    /// An error found by this program, with the usual reason of the cause.
    pub(super) fn from_cause(cause: Cause) -> Self {
        Self::new(cause, cause.reason())
    }

    /// Whether the error may end without an operator.
    pub(super) fn is_transient(&self) -> bool {
        matches!(
            self.cause,
            Cause::Unavailable | Cause::ReadOnly | Cause::Timeout
        )
    }

    /// The text of the errors below this error.
    pub(super) fn source_text(&self) -> Option<String> {
        std::error::Error::source(&self.error).map(error::chain)
    }

    /// The error for the log, without the failed action.
    pub(super) fn for_log(&self) -> StoreError {
        let error = StoreError::new(self.cause.kind(), self.reason.clone());
        match self.source_text() {
            Some(source) => error.with_source(source),
            None => error,
        }
    }

    /// The error for the caller.
    pub(super) fn into_error(self) -> StoreError {
        self.error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_code_has_the_cause_of_the_manual() {
        for (code, cause) in [
            ("57P03", Cause::Unavailable),
            ("57P01", Cause::Unavailable),
            ("53300", Cause::Unavailable),
            ("55000", Cause::Unavailable),
            ("08006", Cause::Unavailable),
            ("53100", Cause::DiskFull),
            ("28P01", Cause::AccessRefused),
            ("3D000", Cause::DatabaseMissing),
            ("42501", Cause::PermissionDenied),
            ("57014", Cause::Timeout),
            ("25006", Cause::ReadOnly),
            ("42P01", Cause::TablesMissing),
            ("26000", Cause::UndeclaredPooler),
            ("22001", Cause::Other),
            ("", Cause::Other),
        ] {
            assert_eq!(Cause::of_code(code), cause, "{code}");
        }
    }
}
