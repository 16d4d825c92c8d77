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

mod findings;
mod link;
mod meaning;
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

use self::findings::Findings;
use self::link::Link;
use self::meaning::{meaning, not_a_word, refuses_writes, too_late};
use self::url::RedisUrl;
use super::{GreetingStore, Word};
use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};
use crate::outage_log::OutageLog;

/// How long anything may take, all its commands and connections together.
const TIME_MAX: Duration = Duration::from_millis(1500);

/// How much may be under way at a time.
const UNDER_WAY_MAX: usize = 1024;

/// How often Redis is looked at for what an operator should know.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The same while there is trouble: doubled from the first.
const LOOK_PAUSE_MIN: Duration = Duration::from_secs(1);
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(5);

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
    outage_log: OutageLog,
    failures: AtomicU64,
    seen: Mutex<Seen>,
    /// Rung when there is reason to look at Redis now.
    bell: Arc<Notify>,
}

/// What is known of Redis.
#[derive(Default)]
struct Seen {
    findings: Findings,
    /// Whether it did not take the last word, until it takes one.
    is_refused: bool,
    /// The connection that was looked at last, as a number.
    connection: u64,
}

impl RedisGreeting {
    /// The greeting at a URL. It is connected to when somebody asks for it.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unsupported`] when the URL has a mistake in it.
    pub fn new(url: &BackendUrl) -> Result<Self, StoreError> {
        let address = RedisUrl::parse(url)?;
        let bell = Arc::new(Notify::new());
        Ok(Self {
            link: Arc::new(Link::new(address.client, Arc::clone(&bell))),
            key: address.key.into(),
            under_way: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
            outage_log: OutageLog::new("greeting", "redis"),
            failures: AtomicU64::new(0),
            seen: Mutex::default(),
            bell,
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
        let error = match task.await {
            Ok(Ok(Ok(answer))) => return Ok(answer),
            Ok(Ok(Err(error))) => self.meaning(error),
            Ok(Err(_)) => too_late(),
            Err(error) => StoreError::cut_off("work on the greeting", error),
        };
        self.note(&error);
        Err(error)
    }

    /// What an error means; whether Redis takes words at all is remembered.
    fn meaning(&self, error: RedisError) -> StoreError {
        if refuses_writes(&error) {
            self.seen.lock().is_refused = true;
        }
        meaning(error)
    }

    /// Tells the log of an error that is Redis' doing.
    fn note(&self, error: &StoreError) {
        if matches!(
            error.kind(),
            StoreErrorKind::Unavailable | StoreErrorKind::Denied
        ) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            if self.outage_log.reason().is_none() {
                self.bell.notify_one();
            }
            self.outage_log.report_failure(error);
        }
    }

    /// Asks Redis how it is set up, and whether it takes words.
    async fn look(&self) -> Result<(), StoreError> {
        let link = Arc::clone(&self.link);
        let ask = async move {
            link.ask::<redis::Value>(&redis::cmd("PING")).await?;
            // Either may be forbidden or renamed, and then nothing is known.
            let info = link.ask::<String>(&redis::cmd("INFO")).await.ok();
            let mut config = redis::cmd("CONFIG");
            config.arg("GET").arg("save");
            let saves = link.ask::<HashMap<String, String>>(&config).await.ok();
            Ok((info, saves.and_then(|mut saves| saves.remove("save"))))
        };
        let (info, saves) = self.run(ask).await?;
        let findings = Findings::of(info.as_deref(), saves.as_deref());
        let refused = {
            let mut seen = self.seen.lock();
            for warning in &findings.warnings {
                if !seen.findings.warnings.contains(warning) {
                    warn!(
                        store = "greeting",
                        backend = "redis",
                        warning,
                        "a backend may lose data"
                    );
                }
            }
            seen.findings = findings.clone();
            seen.connection = self.link.made();
            seen.is_refused
        };
        if let Some(why) = findings.refusal {
            let error = StoreError::new(StoreErrorKind::Unavailable, why);
            self.note(&error);
            return Err(error);
        }
        if refused {
            // Changes nothing that anybody sees, and is refused as a word would be.
            self.draw().await?;
        }
        Ok(())
    }

    /// Waits for a connection that was not looked at yet, or for trouble.
    async fn news(&self) {
        loop {
            self.bell.notified().await;
            // A moment later all of it is known, however often the bell was rung.
            tokio::time::sleep(LOOK_PAUSE_MIN / 10).await;
            let is_new = self.seen.lock().connection != self.link.made();
            if is_new || self.outage_log.reason().is_some() {
                return;
            }
        }
    }

    /// A ticket for a word.
    async fn draw(&self) -> Result<u64, StoreError> {
        let (link, key) = (Arc::clone(&self.link), Arc::clone(&self.key));
        let draw = async move {
            let mut draw = command("HINCRBY", &key);
            link.ask(draw.arg("drawn").arg(1)).await
        };
        let ticket = self.run(draw).await?;
        self.seen.lock().is_refused = false;
        Ok(ticket)
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
        self.run::<u64, _>(set).await?;
        self.seen.lock().is_refused = false;
        Ok(())
    }

    fn backend(&self) -> &'static str {
        "redis"
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let takes_words = {
            let seen = self.seen.lock();
            !seen.is_refused && seen.findings.refusal.is_none()
        };
        if !takes_words {
            return self.look().await;
        }
        let link = Arc::clone(&self.link);
        let ping = async move { link.ask(&redis::cmd("PING")).await };
        self.run::<redis::Value, _>(ping).await.map(drop)
    }

    fn warnings(&self) -> Vec<String> {
        self.seen.lock().findings.warnings.clone()
    }

    async fn watch(&self) {
        let mut pause = LOOK_PAUSE_MIN;
        loop {
            let failures = self.failures.load(Ordering::Relaxed);
            let is_well = self.look().await.is_ok();
            // Requests that fail while others do not would end the trouble with every one that does not.
            let wait = if is_well && self.failures.load(Ordering::Relaxed) == failures {
                self.outage_log.report_success();
                pause = LOOK_PAUSE_MIN;
                LOOK_EVERY
            } else {
                let wait = pause;
                pause = (pause * 2).min(LOOK_PAUSE_MAX);
                wait
            };
            let _ = timeout(wait, self.news()).await;
        }
    }
}

fn command(name: &str, key: &str) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(key);
    command
}
