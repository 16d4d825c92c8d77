//! The greeting in Redis or Valkey, shared by all replicas.
//!
//! It is one key, a hash. Nothing is kept in the server: every replica sees every word at once. Whoever sets a word draws a ticket
//! first, and a word is only set over those of earlier tickets. So a command may be sent again when its answer was lost, and one that
//! the network delivers long after it was given up never undoes a later one.
//!
//! | Field | Meaning |
//! |---|---|
//! | `word` | the word |
//! | `ticket` | the ticket that it was set with |
//! | `drawn` | the last ticket that was drawn |

mod address;
mod link;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::address::Address;
use self::link::Link;
use super::{GreetingStore, Word};
use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};

/// How long anything may take, all its commands and connections together.
const TIME_MAX: Duration = Duration::from_millis(1500);

/// How much may be under way at a time.
const UNDER_WAY_MAX: usize = 1024;

/// Sets the word (`ARGV[1]`) unless one with a later ticket than this (`ARGV[2]`) stands. A Redis that has lost its last changes may
/// give out a ticket twice, or one that is behind: then the word that comes later stands, and drawing goes on from the highest.
const SET_SCRIPT: &str = "\
local ticket = tonumber(ARGV[2])
local function number(field) return tonumber(redis.call('HGET', KEYS[1], field) or 0) or 0 end
if number('ticket') <= ticket or number('ticket') > number('drawn') then
    redis.call('HSET', KEYS[1], 'word', ARGV[1], 'ticket', ARGV[2])
end
if number('drawn') < ticket then redis.call('HSET', KEYS[1], 'drawn', ARGV[2]) end
return 1";

/// The greeting under a key.
pub struct RedisGreeting {
    link: Arc<Link>,
    key: Arc<str>,
    under_way: Arc<Semaphore>,
}

impl RedisGreeting {
    /// The greeting at a URL. It is connected to when somebody asks for it.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unsupported`] when the URL has a mistake in it.
    pub fn new(url: &BackendUrl) -> Result<Self, StoreError> {
        let address = Address::parse(url)?;
        Ok(Self {
            link: Arc::new(Link::new(address.client)),
            key: address.key.into(),
            under_way: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
        })
    }

    /// Runs some commands to their end, also when nobody waits for it any more: only who sees a time run out finds out that the
    /// connection is no good.
    async fn run<T, F>(&self, commands: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = RedisResult<T>> + Send + 'static,
    {
        let Ok(turn) = Arc::clone(&self.under_way).try_acquire_owned() else {
            return Err(StoreError::new(
                StoreErrorKind::Overloaded,
                "too many requests wait for Redis",
            ));
        };
        let task = tokio::spawn(async move {
            let _turn = turn;
            timeout(TIME_MAX, commands).await
        });
        match task.await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => Err(meaning(error)),
            Ok(Err(_)) => Err(too_late()),
            Err(error) => Err(StoreError::new(
                StoreErrorKind::Internal,
                "work on the greeting was cut off",
            )
            .with_source(error)),
        }
    }
}

#[async_trait]
impl GreetingStore for RedisGreeting {
    async fn word(&self) -> Result<Word, StoreError> {
        let (link, key) = (Arc::clone(&self.link), Arc::clone(&self.key));
        let read = async move { link.ask(command("HGET", &key).arg("word")).await };
        match self.run::<Option<Vec<u8>>, _>(read).await? {
            None => Ok(Word::default()),
            Some(bytes) => String::from_utf8(bytes)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(not_a_word),
        }
    }

    async fn set(&self, word: Word) -> Result<(), StoreError> {
        let (link, key) = (Arc::clone(&self.link), Arc::clone(&self.key));
        let set = async move {
            let mut draw = command("HINCRBY", &key);
            let ticket: u64 = link.ask(draw.arg("drawn").arg(1)).await?;
            let mut script = redis::cmd("EVAL");
            script.arg(SET_SCRIPT).arg(1).arg(&*key);
            script.arg(word.as_str()).arg(ticket);
            link.ask(&script).await
        };
        self.run::<u64, _>(set).await.map(drop)
    }

    fn backend(&self) -> &'static str {
        "redis"
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let link = Arc::clone(&self.link);
        let ping = async move { link.ask(&redis::cmd("PING")).await };
        self.run::<redis::Value, _>(ping).await.map(drop)
    }
}

fn command(name: &str, key: &str) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(key);
    command
}

/// What an error of Redis means to those who asked.
fn meaning(error: RedisError) -> StoreError {
    use StoreErrorKind::{Damaged, Internal, StorageFull, Unavailable};
    let (kind, message) = match (error.kind(), error.code()) {
        (_, Some("WRONGTYPE")) => (
            Damaged,
            "the key of the greeting in Redis holds something else; delete it, or set another prefix",
        ),
        (_, Some("OOM")) => (
            StorageFull,
            "Redis has no memory left; the word was not set",
        ),
        (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM")) | (ErrorKind::AuthenticationFailed, _) => (
            Unavailable,
            "Redis refuses the user or the password that this server is set up with",
        ),
        (_, Some("MISCONF")) => (
            Unavailable,
            "Redis takes no changes: it cannot save them to its disk",
        ),
        (ErrorKind::Server(ServerErrorKind::ReadOnly), _) => (
            Unavailable,
            "Redis takes no changes: this address leads to a replica",
        ),
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

fn too_late() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "Redis does not answer in time")
}

fn not_a_word() -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        "what Redis has under the key of the greeting is no word; POST /hello replaces it",
    )
}
