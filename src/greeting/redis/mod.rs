//! The greeting in Redis or Valkey, shared by all servers.
//!
//! The greeting is a single key, a hash. No server caches the word, so every server sees a new word at once. A server draws a ticket before
//! it sets a word, and a word replaces only words with earlier tickets. So a command may be sent again when the answer was lost, and a
//! command with a late delivery never undoes a later command.
//!
//! | Field | Meaning |
//! |---|---|
//! | `word` | the word |
//! | `ticket` | the ticket of the word |
//! | `drawn` | the last drawn ticket |

mod connection;
mod diagnostics;
mod errors;
pub mod older;
mod url;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use redis::{Cmd, RedisError, RedisResult};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use tracing::warn;

use self::connection::SharedConnection;
use self::diagnostics::Diagnostics;
use self::errors::{invalid_word, refuses_writes, store_error, timeout_error};
use self::url::RedisUrl;
use super::{GreetingStore, Word};
use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};
use crate::outage_log::OutageLog;

/// The time limit of an operation, all commands and connections together.
const OPERATION_TIME_MAX: Duration = Duration::from_millis(1500);

/// The number of operations at a time.
const OPERATIONS_MAX: usize = 1024;

/// The pause between two checks of a healthy Redis.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// The pause between two checks during an outage: doubled from the first to the last.
const CHECK_PAUSE_MIN: Duration = Duration::from_secs(1);
const CHECK_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Sets the word (`ARGV[1]`) unless the present word has a later ticket than this word (`ARGV[2]`). After a loss of the last changes, Redis
/// may give out a ticket twice, or an earlier ticket. Then the word with the later arrival wins, and the next ticket is the highest known
/// ticket plus 1.
const SET_SCRIPT: &str = "\
local ticket = tonumber(ARGV[2])
local function number(field) return tonumber(redis.call('HGET', KEYS[1], field) or 0) or 0 end
if number('ticket') <= ticket or number('ticket') > number('drawn') then
    redis.call('HSET', KEYS[1], 'word', ARGV[1], 'ticket', ARGV[2])
end
if number('drawn') < ticket then redis.call('HSET', KEYS[1], 'drawn', ARGV[2]) end
return 1";

/// The greeting under a key of Redis.
pub struct RedisGreeting {
    connection: Arc<SharedConnection>,
    key: Arc<str>,
    operation_permits: Arc<Semaphore>,
    outage_log: OutageLog,
    failures: AtomicU64,
    state: Mutex<ServerState>,
    /// Notified when Redis should be checked now: after a new connection, and at the beginning of an outage.
    check_now: Arc<Notify>,
}

/// The known facts about the Redis server.
#[derive(Default)]
struct ServerState {
    diagnostics: Diagnostics,
    /// Whether Redis refused the last write.
    refuses_writes: bool,
    /// The number of the connection of the last check.
    checked_connection: u64,
}

impl RedisGreeting {
    /// The greeting at a URL. The first operation makes the connection.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unsupported`] when the URL has a mistake.
    pub fn new(url: &BackendUrl) -> Result<Self, StoreError> {
        let url = RedisUrl::parse(url)?;
        let check_now = Arc::new(Notify::new());
        let connection = SharedConnection::new(url.client, Arc::clone(&check_now));
        Ok(Self {
            connection: Arc::new(connection),
            key: url.key.into(),
            operation_permits: Arc::new(Semaphore::new(OPERATIONS_MAX)),
            outage_log: OutageLog::new("greeting", "redis"),
            failures: AtomicU64::new(0),
            state: Mutex::default(),
            check_now,
        })
    }

    /// Runs the commands of an operation to the end, even when the caller is gone. A timeout must be noticed, because only a timeout shows
    /// a dead connection.
    async fn run<T, F>(&self, commands: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = RedisResult<T>> + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.operation_permits).try_acquire_owned() else {
            return Err(StoreError::new(
                StoreErrorKind::Overloaded,
                "too many requests wait for Redis",
            ));
        };
        let task = tokio::spawn(async move {
            let _permit = permit;
            timeout(OPERATION_TIME_MAX, commands).await
        });
        let error = match task.await {
            Ok(Ok(Ok(answer))) => return Ok(answer),
            Ok(Ok(Err(error))) => self.translate(error),
            Ok(Err(_)) => timeout_error(),
            Err(error) => StoreError::new(
                StoreErrorKind::Internal,
                "the work on the greeting was interrupted",
            )
            .with_source(error),
        };
        self.record_error(&error);
        Err(error)
    }

    /// Translates an error, and remembers whether Redis refuses writes.
    fn translate(&self, error: RedisError) -> StoreError {
        if refuses_writes(&error) {
            self.state.lock().refuses_writes = true;
        }
        store_error(error)
    }

    /// Records an error of Redis, for the log.
    fn record_error(&self, error: &StoreError) {
        if matches!(
            error.kind(),
            StoreErrorKind::Unavailable | StoreErrorKind::Denied
        ) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            if self.outage_log.reason().is_none() {
                self.check_now.notify_one();
            }
            self.outage_log.report_failure(error);
        }
    }

    /// Checks the settings of Redis, and whether Redis accepts words.
    async fn check(&self) -> Result<(), StoreError> {
        let connection = Arc::clone(&self.connection);
        let commands = async move {
            let ping = redis::cmd("PING");
            connection.send::<redis::Value>(&ping).await?;
            // Redis may forbid or rename these two commands. Then the settings stay unknown.
            let info = connection.send::<String>(&redis::cmd("INFO")).await.ok();
            let mut config = redis::cmd("CONFIG");
            config.arg("GET").arg("save");
            let settings = connection.send::<HashMap<String, String>>(&config);
            let settings = settings.await.ok();
            Ok((
                info,
                settings.and_then(|mut settings| settings.remove("save")),
            ))
        };
        let (info, save) = self.run(commands).await?;
        let diagnostics = Diagnostics::from_info(info.as_deref(), save.as_deref());
        let refused_writes = {
            let mut state = self.state.lock();
            for warning in &diagnostics.warnings {
                if !state.diagnostics.warnings.contains(warning) {
                    warn!(
                        store = "greeting",
                        backend = "redis",
                        warning,
                        "a backend may lose data"
                    );
                }
            }
            state.diagnostics = diagnostics.clone();
            state.checked_connection = self.connection.connections();
            state.refuses_writes
        };
        if let Some(reason) = diagnostics.refusal {
            let error = StoreError::new(StoreErrorKind::Unavailable, reason);
            self.record_error(&error);
            return Err(error);
        }
        if refused_writes {
            // Drawing a ticket changes no word. If Redis refuses words, Redis also refuses the draw.
            self.draw_ticket().await?;
        }
        Ok(())
    }

    /// Waits for a new connection, or for the beginning of an outage.
    async fn wait_for_reason_to_check(&self) {
        loop {
            self.check_now.notified().await;
            // Several notifications at almost the same time need only a single check.
            tokio::time::sleep(CHECK_PAUSE_MIN / 10).await;
            let checked = self.state.lock().checked_connection;
            if checked != self.connection.connections() || self.outage_log.reason().is_some() {
                return;
            }
        }
    }

    /// Draws a ticket.
    async fn draw_ticket(&self) -> Result<u64, StoreError> {
        let (connection, key) = (Arc::clone(&self.connection), Arc::clone(&self.key));
        let draw = async move {
            let mut draw = command("HINCRBY", &key);
            connection.send(draw.arg("drawn").arg(1)).await
        };
        let ticket = self.run(draw).await?;
        self.state.lock().refuses_writes = false;
        Ok(ticket)
    }
}

#[async_trait]
impl GreetingStore for RedisGreeting {
    async fn word(&self) -> Result<Word, StoreError> {
        let (connection, key) = (Arc::clone(&self.connection), Arc::clone(&self.key));
        let read = async move { connection.send(command("HGET", &key).arg("word")).await };
        match self.run::<Option<Vec<u8>>, _>(read).await? {
            None => Ok(Word::default()),
            Some(bytes) => String::from_utf8(bytes)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(invalid_word),
        }
    }

    async fn set(&self, word: Word) -> Result<(), StoreError> {
        let (connection, key) = (Arc::clone(&self.connection), Arc::clone(&self.key));
        let set = async move {
            let mut draw = command("HINCRBY", &key);
            let ticket: u64 = connection.send(draw.arg("drawn").arg(1)).await?;
            let mut script = redis::cmd("EVAL");
            script.arg(SET_SCRIPT).arg(1).arg(&*key);
            script.arg(word.as_str()).arg(ticket);
            connection.send(&script).await
        };
        self.run::<u64, _>(set).await?;
        self.state.lock().refuses_writes = false;
        Ok(())
    }

    fn backend(&self) -> &'static str {
        "redis"
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let accepts_words = {
            let state = self.state.lock();
            !state.refuses_writes && state.diagnostics.refusal.is_none()
        };
        if !accepts_words {
            return self.check().await;
        }
        let connection = Arc::clone(&self.connection);
        let ping = async move { connection.send(&redis::cmd("PING")).await };
        self.run::<redis::Value, _>(ping).await.map(drop)
    }

    fn warnings(&self) -> Vec<String> {
        self.state.lock().diagnostics.warnings.clone()
    }

    async fn watch(&self) {
        let mut pause = CHECK_PAUSE_MIN;
        loop {
            let failures = self.failures.load(Ordering::Relaxed);
            let is_healthy = self.check().await.is_ok();
            // An outage ends only with a check without failed requests at the same time. If each successful request ended the outage, a
            // Redis that fails every second request would fill the log.
            let wait = if is_healthy && self.failures.load(Ordering::Relaxed) == failures {
                self.outage_log.report_success();
                pause = CHECK_PAUSE_MIN;
                CHECK_EVERY
            } else {
                let wait = pause;
                pause = (pause * 2).min(CHECK_PAUSE_MAX);
                wait
            };
            let _ = timeout(wait, self.wait_for_reason_to_check()).await;
        }
    }
}

fn command(name: &str, key: &str) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(key);
    command
}
