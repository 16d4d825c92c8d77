//! A bounded number of connections, each used by one statement at a time, and none trusted after an error.
//!
//! A connection goes back only after a statement that ended well; otherwise it is closed at once, without a word to a peer
//! that may not listen. So a request that is given up, or a network that swallows everything, leaves nothing behind.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx_core::connection::Connection;
use sqlx_core::error::Error;
use sqlx_postgres::PgConnection;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::backoff::Rest;
use super::errors::Failure;
use super::session::Session;

/// A connection that was used more recently than this is taken to be alive without asking.
const TRUSTED: Duration = Duration::from_secs(1);
/// Connections that nobody needed for this long are closed.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Connections are closed when they are this old: the name of the host may mean another machine by then.
const AGE_MAX: Duration = Duration::from_secs(1800);
/// The longest pause after a connection could not be made.
const PAUSE_MAX: Duration = Duration::from_secs(1);

pub(super) struct Pool {
    session: Session,
    turns: Semaphore,
    /// The one used last is on top, so that those not needed grow old.
    idle: Mutex<Vec<Idle>>,
    rest: Rest,
}

struct Idle {
    connection: PgConnection,
    opened: Instant,
    used: Instant,
}

/// A connection for one statement. It is closed when this is dropped, unless it is given back.
pub(super) struct Lease<'a> {
    pub(super) connection: PgConnection,
    /// Whether it has been used before, so that an error may come of what happened meanwhile.
    pub(super) is_reused: bool,
    opened: Instant,
    pool: &'a Pool,
    _turn: SemaphorePermit<'a>,
}

impl Pool {
    pub(super) fn new(session: Session, connections_max: usize) -> Self {
        Self {
            session,
            turns: Semaphore::new(connections_max),
            idle: Mutex::default(),
            rest: Rest::new(PAUSE_MAX),
        }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// A connection, once there may be one more. Takes as long as it takes: the caller has the time limit. `what` completes
    /// "could not".
    pub(super) async fn lease(&self, what: &str) -> Result<Lease<'_>, Failure> {
        let turn = self.turns.acquire().await;
        let turn = turn.map_err(|_| Failure::of(what, Error::PoolClosed))?;
        while let Some(mut idle) = self.pop() {
            if idle.used.elapsed() < TRUSTED || idle.connection.ping().await.is_ok() {
                return Ok(Lease {
                    connection: idle.connection,
                    is_reused: true,
                    opened: idle.opened,
                    pool: self,
                    _turn: turn,
                });
            }
            // One that has died is rarely the only one.
            self.forget();
        }
        Ok(Lease {
            connection: self.connect(what).await?,
            is_reused: false,
            opened: Instant::now(),
            pool: self,
            _turn: turn,
        })
    }

    /// A new connection. After one that could not be made there is a pause, in which everybody hears at once what was wrong:
    /// waiting clients make no more attempts than a few.
    pub(super) async fn connect(&self, what: &str) -> Result<PgConnection, Failure> {
        self.rest.check(what)?;
        match self.session.connect().await {
            Ok(connection) => {
                self.rest.end();
                Ok(connection)
            }
            Err(error) => Err(self.rest.begin(Failure::of(what, error))),
        }
    }

    /// Closes all connections that nobody uses.
    pub(super) fn forget(&self) {
        let forgotten = std::mem::take(&mut *self.idle.lock());
        drop(forgotten);
    }

    fn pop(&self) -> Option<Idle> {
        let mut idle = self.idle.lock();
        // The oldest lie at the bottom.
        let unneeded = idle
            .iter()
            .take_while(|idle| idle.used.elapsed() > IDLE_MAX)
            .count();
        idle.drain(..unneeded);
        while let Some(last) = idle.pop() {
            if last.opened.elapsed() < AGE_MAX {
                return Some(last);
            }
        }
        None
    }

    /// Refuses what comes from now on, waits for what is under way, and says goodbye.
    pub(super) async fn close(&self, connections_max: u32) {
        let turns = self.turns.acquire_many(connections_max).await;
        self.turns.close();
        drop(turns);
        let idle = std::mem::take(&mut *self.idle.lock());
        for idle in idle {
            // It is closed in any case.
            let _ = idle.connection.close().await;
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.turns.is_closed()
    }
}

impl Lease<'_> {
    /// Keeps the connection for others.
    pub(super) fn give_back(self) {
        let idle = Idle {
            connection: self.connection,
            opened: self.opened,
            used: Instant::now(),
        };
        self.pool.idle.lock().push(idle);
    }
}
