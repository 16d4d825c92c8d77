//! Translates errors of Redis.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::{StoreError, StoreErrorKind};

/// Translates an error of Redis.
pub(super) fn store_error(error: RedisError) -> StoreError {
    use StoreErrorKind::{Damaged, Denied, Internal, StorageFull, Unavailable};
    let (kind, message) = match (error.kind(), error.code()) {
        (_, Some("WRONGTYPE")) => (
            Damaged,
            "the key of the greeting in Redis holds something else; delete the key, or set another prefix",
        ),
        (_, Some("OOM")) => (
            StorageFull,
            "Redis has no memory left; the word was not set",
        ),
        (_, Some("NOPERM")) => (
            Denied,
            "Redis denies the command to the user of this server: allow PING, HGET, HSET, HINCRBY and EVAL on the key of the greeting",
        ),
        (_, Some("NOAUTH" | "WRONGPASS")) | (ErrorKind::AuthenticationFailed, _) => (
            Denied,
            "Redis refuses the user or the password that this server is set up with",
        ),
        (_, Some("MISCONF")) => (
            Unavailable,
            "Redis accepts no changes, because Redis cannot save them to its disk",
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
        (ErrorKind::Server(_) | ErrorKind::Extension, _) => (Internal, "Redis refuses the command"),
        _ if error.is_timeout() => return timeout_error().with_source(error),
        _ => (Unavailable, "Redis cannot be reached"),
    };
    StoreError::new(kind, message).with_source(error)
}

/// The message about a replica. A replica accepts no writes.
pub(super) const REPLICA: &str =
    "Redis accepts no changes, because the URL leads to a replica; name the primary in --greeting";

/// Whether Redis refuses writes, although reads may work.
pub(super) fn refuses_writes(error: &RedisError) -> bool {
    matches!(error.code(), Some("MISCONF" | "NOPERM" | "READONLY"))
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// The error of a command without an answer.
pub(super) fn timeout_error() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "Redis does not answer in time")
}

/// The error of a stored text that breaks the rules of a word.
pub(super) fn invalid_word() -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        "the value of the key of the greeting in Redis is not a word; POST /hello replaces the value",
    )
}
