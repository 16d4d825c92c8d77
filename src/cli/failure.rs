//! How a command ends when it does not end well.

use std::fmt;

use crate::error::chain;

/// The meanings of the exit codes, for `--help`.
pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 fine, 2 bad usage or configuration, 3 initialization failed, 4 the store failed, 1 any other failure.";

/// What went wrong, as far as the exit code tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// 2: arguments, variables or settings that make no sense.
    Configuration,
    /// 3: the settings are fine, what they ask for is not to be had: the port is taken, the data directory locked or damaged.
    Initialization,
    /// 4: the store failed while running.
    Store,
    /// 1: anything else.
    Other,
}

/// A command that failed.
#[derive(Debug)]
pub struct Failure {
    kind: FailureKind,
    error: anyhow::Error,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(kind: FailureKind, error: impl Into<anyhow::Error>) -> Self {
        Self {
            kind,
            error: error.into(),
        }
    }

    /// The exit code that tells an operator whether to mend a setting, a machine or neither.
    pub fn exit_code(&self) -> u8 {
        match (self.kind, self.error.downcast_ref::<clap::Error>()) {
            // `--help` and `--version` come as errors of the parser, too, with a code of 0.
            (_, Some(usage)) => u8::try_from(usage.exit_code()).unwrap_or(2),
            (FailureKind::Configuration, None) => 2,
            (FailureKind::Initialization, None) => 3,
            (FailureKind::Store, None) => 4,
            (FailureKind::Other, None) => 1,
        }
    }

    /// Writes what went wrong to standard error (the text of `--help` to standard output).
    pub fn print(&self) {
        match self.error.downcast_ref::<clap::Error>() {
            // Nobody is left to tell when standard error is closed.
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

/// Any error that a command does not name a kind for.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(FailureKind::Other, error)
    }
}
