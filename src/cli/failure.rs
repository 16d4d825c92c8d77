//! A failed command: its message and its exit code.

use std::fmt;

use crate::error::chain;

/// The meanings of the exit codes, for `--help`.
pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 success, 2 bad usage or configuration, 3 initialization failed, 4 the store failed, 1 any other failure.";

/// The kinds of failures that have exit codes of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// 2: invalid arguments, environment variables or settings.
    Configuration,
    /// 3: valid settings that cannot be applied: the port is in use, the data directory is locked or damaged.
    Initialization,
    /// 4: the store failed while running.
    Store,
    /// 1: any other failure.
    Other,
}

/// A command that failed.
#[derive(Debug)]
pub struct Failure {
    kind: FailureKind,
    error: anyhow::Error,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, error: impl Into<anyhow::Error>) -> Self {
        Self {
            kind,
            error: error.into(),
        }
    }

    /// The exit code, which tells an operator whether to fix a setting or a machine.
    pub fn exit_code(&self) -> u8 {
        match (self.kind, self.error.downcast_ref::<clap::Error>()) {
            // The parser reports `--help` and `--version` as errors too, with exit code 0.
            (_, Some(usage)) => u8::try_from(usage.exit_code()).unwrap_or(2),
            (FailureKind::Configuration, None) => 2,
            (FailureKind::Initialization, None) => 3,
            (FailureKind::Store, None) => 4,
            (FailureKind::Other, None) => 1,
        }
    }

    /// Writes the message to standard error, and the text of `--help` to standard output.
    pub fn print(&self) {
        match self.error.downcast_ref::<clap::Error>() {
            // A closed standard error leaves no place for a message.
            Some(usage) => drop(usage.print()),
            None => eprintln!("fieldstation: {self}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(self.error.as_ref()))
    }
}

impl std::error::Error for Failure {}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::new(FailureKind::Configuration, error)
    }
}

/// An error without a kind of its own.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(FailureKind::Other, error)
    }
}
