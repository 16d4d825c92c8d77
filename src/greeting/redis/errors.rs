//! What an error of Redis means to those who asked.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::{StoreError, StoreErrorKind};

/// An error of Redis as one of ours.
pub(super) fn meaning(error: RedisError) -> StoreError {
    use StoreErrorKind::{Damaged, Denied, Internal, StorageFull, Unavailable};
    let (kind, message) = match (error.kind(), error.code()) {
        (_, Some("WRONGTYPE")) => (
            Damaged,
            "the key of the greeting in Redis holds something else; delete it, or set another prefix",
        ),
        (_, Some("OOM")) => (
            StorageFull,
            "Redis has no memory left; the word was not set",
        ),
        (_, Some("NOPERM")) => (
            Denied,
            "Redis does not let the user of this server do it: allow PING, HGET, HSET, HINCRBY and EVAL on the key of the greeting",
        ),
        (_, Some("NOAUTH" | "WRONGPASS")) | (ErrorKind::AuthenticationFailed, _) => (
            Denied,
            "Redis refuses the user or the password that this server is set up with",
        ),
        (_, Some("MISCONF")) => (
            Unavailable,
            "Redis takes no changes: it cannot save them to its disk",
        ),
        (ErrorKind::Server(ServerErrorKind::ReadOnly), _) => (Unavailable, REPLICA),
        (
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::TryAgain,
            ),
            _,
        ) => (Unavailable, "Redis is not ready yet"),
        (ErrorKind::Server(_) | ErrorKind::Extension, _) => {
            (Internal, "Redis refuses what it was asked")
        }
        _ if error.is_timeout() => return too_late().with_source(error),
        _ => (Unavailable, "Redis cannot be reached"),
    };
    StoreError::new(kind, message).with_source(error)
}

/// Of a replica that takes no writes.
pub(super) const REPLICA: &str =
    "Redis takes no changes: this address leads to a replica; name the primary in --greeting";

/// Whether an error says that words are not taken, whatever else works.
pub(super) fn refuses_writes(error: &RedisError) -> bool {
    matches!(error.code(), Some("MISCONF" | "NOPERM" | "READONLY"))
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// No answer came.
pub(super) fn too_late() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "Redis does not answer in time")
}

/// What is under the key was not written by this program, or by hand with a mistake.
pub(super) fn not_a_word() -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        "what Redis has under the key of the greeting is no word; POST /hello replaces it",
    )
}
