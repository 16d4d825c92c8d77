//! The connection to Redis, shared by all requests. The first request makes the connection. After a failure, the next request makes a new
//! connection.
//!
//! The connection manager of the redis crate keeps a connection when answers do not arrive in time. On a dead network such a connection
//! would fail only after the timeout of TCP.

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

/// The time limit for a new connection, up to the first answer.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(1);

/// The time limit for an answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// The pause after a failed connection attempt. Each further failure doubles the pause. Commands during a pause fail at once.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// A command waits for the end of a pause of at most this time, so that a short outage makes no command fail.
const BACKOFF_WAIT_MAX: Duration = Duration::from_millis(200);

/// The connection, or the error of the last attempt to connect.
pub(super) struct SharedConnection {
    client: Client,
    config: AsyncConnectionConfig,
    state: Mutex<State>,
    /// Held during an attempt to connect. Other commands wait for the result.
    connecting: tokio::sync::Mutex<()>,
    /// Notified of each new connection. A new connection may lead to another server.
    connected: Arc<Notify>,
}

#[derive(Default)]
struct State {
    connection: Option<OpenConnection>,
    /// The number of connections so far.
    connections: u64,
    failure: Option<ConnectFailure>,
}

/// A connection with a number.
#[derive(Clone)]
struct OpenConnection {
    number: u64,
    connection: MultiplexedConnection,
}

struct ConnectFailure {
    error: RedisError,
    backoff: Duration,
    retry_at: Instant,
}

impl SharedConnection {
    /// Connects with the first command.
    pub(super) fn new(client: Client, connected: Arc<Notify>) -> Self {
        // This module has the time limits, because a timeout has to close the connection.
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

    /// The number of connections so far.
    pub(super) fn connections(&self) -> u64 {
        self.state.lock().connections
    }

    /// Sends a command. The command may run twice. When the connection has died since the last use, the command is sent again on a new
    /// connection. After an error of the connection, nobody knows whether the command was executed.
    pub(super) async fn send<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match self.attempt(command).await {
            Err(AttemptError { error, was_in_use }) if was_in_use && !error.is_timeout() => {
                self.attempt(command).await
            }
            result => result,
        }
        .map_err(|attempt| attempt.error)
    }

    async fn attempt<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, AttemptError> {
        let known = self.state.lock().connection.clone();
        let was_in_use = known.is_some();
        let attempt_error = |error| AttemptError { error, was_in_use };
        let mut open = match known {
            Some(open) => open,
            None => self.connect().await.map_err(attempt_error)?,
        };
        let answer = timeout(ANSWER_TIME_MAX, command.query_async(&mut open.connection));
        let answer = answer.await.unwrap_or_else(|_| Err(timed_out()));
        if let Err(error) = &answer
            && ends_connection(error)
        {
            self.drop_connection(open.number, error);
        }
        // A new connection helps only against an error of the connection.
        answer.map_err(|error| AttemptError {
            was_in_use: was_in_use && ends_connection(&error),
            error,
        })
    }

    async fn connect(&self) -> RedisResult<OpenConnection> {
        let _turn = self.connecting.lock().await;
        let retry_at = {
            // Another command may have made a connection meanwhile, or failed in the attempt.
            let state = self.state.lock();
            if let Some(open) = &state.connection {
                return Ok(open.clone());
            }
            match &state.failure {
                Some(failure) if failure.retry_at > Instant::now() + BACKOFF_WAIT_MAX => {
                    return Err(failure.error.clone());
                }
                Some(failure) => Some(failure.retry_at),
                None => None,
            }
        };
        if let Some(retry_at) = retry_at {
            tokio::time::sleep_until(retry_at).await;
        }
        let made = timeout(CONNECT_TIME_MAX, self.make()).await;
        let made = made.unwrap_or_else(|_| Err(timed_out()));
        let mut state = self.state.lock();
        match made {
            Ok(connection) => {
                state.failure = None;
                state.connections += 1;
                let open = OpenConnection {
                    number: state.connections,
                    connection,
                };
                state.connection = Some(open.clone());
                debug!("connected to Redis");
                self.connected.notify_one();
                Ok(open)
            }
            Err(error) => {
                state.record_failure(&error);
                Err(error)
            }
        }
    }

    /// Makes a connection and waits for the first answer.
    async fn make(&self) -> RedisResult<MultiplexedConnection> {
        let config = &self.config;
        let client = &self.client;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(config)
            .await?;
        redis::cmd("PING").exec_async(&mut connection).await?;
        Ok(connection)
    }

    /// Drops a connection, unless a newer connection has replaced it.
    fn drop_connection(&self, number: u64, error: &RedisError) {
        let mut state = self.state.lock();
        if state
            .connection
            .take_if(|open| open.number == number)
            .is_some()
            && error.is_timeout()
        {
            // The next connection would most likely time out, too.
            state.record_failure(error);
        }
    }
}

impl State {
    fn record_failure(&mut self, error: &RedisError) {
        let backoff = match &self.failure {
            None => BACKOFF_MIN,
            Some(failure) => (failure.backoff * 2).min(BACKOFF_MAX),
        };
        self.failure = Some(ConnectFailure {
            error: error.clone(),
            backoff,
            retry_at: Instant::now() + backoff,
        });
    }
}

/// The error of an attempt to send a command.
struct AttemptError {
    error: RedisError,
    /// Whether the connection of the command was in use before the command, and is closed now.
    was_in_use: bool,
}

/// Whether an error concerns the connection or the server, and not the command.
fn ends_connection(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => matches!(
            kind,
            // After a fail-over the URL leads to another server.
            ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown
        ),
        ErrorKind::Extension | ErrorKind::UnexpectedReturnType => error.code() == Some("NOAUTH"),
        _ => true,
    }
}

fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
