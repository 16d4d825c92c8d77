//! One connection to Redis, shared by all requests, made when it is needed and made again after every failure.
//!
//! The crate's own manager of connections keeps one whose answers do not come in time, and so would wait on a network that has
//! swallowed it for as long as TCP does.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult,
    ServerErrorKind,
};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tracing::debug;

/// How long making a connection may take, up to its first answer.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// How long no connection is tried after a failure: doubled from the first with each further one. What is asked for meanwhile
/// fails at once.
const REST_MIN: Duration = Duration::from_millis(50);
const REST_MAX: Duration = Duration::from_secs(1);

/// The end of a rest that is so near is waited for: a look that found Redis away for a moment makes no request fail.
const REST_WAITED_FOR: Duration = Duration::from_millis(200);

/// The connection, or why there is none.
pub(super) struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    state: Mutex<State>,
    /// Held by the one who makes a connection; the others wait for what comes of it.
    connecting: tokio::sync::Mutex<()>,
    /// Told of each connection that is made: it may lead to another server than the one before.
    connected: Arc<Notify>,
}

#[derive(Default)]
struct State {
    connection: Option<Numbered>,
    /// How many connections there were.
    made: u64,
    failure: Option<Failure>,
}

/// A connection, and which one it is.
#[derive(Clone)]
struct Numbered {
    number: u64,
    connection: MultiplexedConnection,
}

struct Failure {
    error: RedisError,
    rest: Duration,
    over_at: Instant,
}

impl Link {
    /// A link that is not connected yet.
    pub(super) fn new(client: Client, connected: Arc<Notify>) -> Self {
        // Time is kept here, where running out of it ends the connection.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        Self {
            client,
            config,
            state: Mutex::default(),
            connecting: tokio::sync::Mutex::new(()),
            connected,
        }
    }

    /// How many connections there were.
    pub(super) fn made(&self) -> u64 {
        self.state.lock().made
    }

    /// Asks for something that may be done twice: a connection that has ended since it was used last is replaced unnoticed. When it
    /// fails with an error of the connection, nobody knows whether it was done.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match self.attempt(command).await {
            Err(Attempt { error, was_in_use }) if was_in_use && !error.is_timeout() => {
                self.attempt(command).await
            }
            result => result,
        }
        .map_err(|attempt| attempt.error)
    }

    async fn attempt<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Attempt> {
        let known = self.state.lock().connection.clone();
        let was_in_use = known.is_some();
        let failed = |error| Attempt { error, was_in_use };
        let mut link = match known {
            Some(link) => link,
            None => self.connect().await.map_err(failed)?,
        };
        let answer = timeout(ANSWER_MAX, command.query_async(&mut link.connection));
        let answer = answer.await.unwrap_or_else(|_| Err(timed_out()));
        if let Err(error) = &answer
            && ends_connection(error)
        {
            self.lost(link.number, error);
        }
        // An error that leaves the connection as it is would come again.
        answer.map_err(|error| Attempt {
            was_in_use: was_in_use && ends_connection(&error),
            error,
        })
    }

    async fn connect(&self) -> RedisResult<Numbered> {
        let _turn = self.connecting.lock().await;
        let rest_over_at = {
            // Somebody else may have made one meanwhile, or failed to.
            let state = self.state.lock();
            if let Some(link) = &state.connection {
                return Ok(link.clone());
            }
            match &state.failure {
                Some(failure) if failure.over_at > Instant::now() + REST_WAITED_FOR => {
                    return Err(failure.error.clone());
                }
                Some(failure) => Some(failure.over_at),
                None => None,
            }
        };
        if let Some(over_at) = rest_over_at {
            tokio::time::sleep_until(over_at).await;
        }
        let made = timeout(CONNECT_MAX, self.make()).await;
        let made = made.unwrap_or_else(|_| Err(timed_out()));
        let mut state = self.state.lock();
        match made {
            Ok(connection) => {
                state.failure = None;
                state.made += 1;
                let link = Numbered {
                    number: state.made,
                    connection,
                };
                state.connection = Some(link.clone());
                debug!("connected to Redis");
                self.connected.notify_one();
                Ok(link)
            }
            Err(error) => {
                state.fail(&error);
                Err(error)
            }
        }
    }

    /// A connection that has answered once.
    async fn make(&self) -> RedisResult<MultiplexedConnection> {
        let config = &self.config;
        let client = &self.client;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(config)
            .await?;
        redis::cmd("PING").exec_async(&mut connection).await?;
        Ok(connection)
    }

    /// Lets go of a connection, unless that has been done.
    fn lost(&self, number: u64, error: &RedisError) {
        let mut state = self.state.lock();
        if state
            .connection
            .take_if(|link| link.number == number)
            .is_some()
            && error.is_timeout()
        {
            // The next one would most likely wait as long.
            state.fail(error);
        }
    }
}

impl State {
    fn fail(&mut self, error: &RedisError) {
        let rest = match &self.failure {
            None => REST_MIN,
            Some(failure) => (failure.rest * 2).min(REST_MAX),
        };
        self.failure = Some(Failure {
            error: error.clone(),
            rest,
            over_at: Instant::now() + rest,
        });
    }
}

/// How an attempt failed.
struct Attempt {
    error: RedisError,
    /// Whether it was on a connection that had been used before, and that is gone now.
    was_in_use: bool,
}

/// Whether an error says something of the connection, or of the server behind it, rather than of what was asked.
fn ends_connection(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => matches!(
            kind,
            // The address leads to another server after a fail-over.
            ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown
        ),
        ErrorKind::Extension | ErrorKind::UnexpectedReturnType => error.code() == Some("NOAUTH"),
        _ => true,
    }
}

fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
