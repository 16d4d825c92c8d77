//! A pool with a limited number of connections. Each connection serves a single statement at a time.
//!
//! A connection goes back to the pool only after a successful statement. After an error the connection is closed at once, without a message
//! to PostgreSQL. So neither a dropped request nor a dead network leaves a broken connection in the pool.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx_core::connection::Connection;
use sqlx_core::error::Error;
use sqlx_postgres::PgConnection;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::backoff::Backoff;
use super::errors::PostgresError;
use super::session::Session;

/// A connection is tested before the next use if the last use is longer ago than this.
const PING_AFTER: Duration = Duration::from_secs(1);
/// Connections are closed after this idle time.
const IDLE_TIME_MAX: Duration = Duration::from_secs(300);
/// Older connections are closed: the name of the host may belong to another machine by then.
const AGE_MAX: Duration = Duration::from_secs(1800);
/// The longest pause after a failed connection attempt.
const CONNECT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// The connections of a server to PostgreSQL.
pub(super) struct Pool {
    session: Session,
    /// A permit for each connection in use.
    permits: Semaphore,
    /// The most recently used connection is at the end, so that surplus connections stay idle.
    idle: Mutex<Vec<Idle>>,
    connect_backoff: Backoff,
}

struct Idle {
    connection: PgConnection,
    opened: Instant,
    used: Instant,
}

/// A connection for a single statement. Dropping the lease closes the connection; [`Lease::give_back`] keeps it.
pub(super) struct Lease<'a> {
    pub(super) connection: PgConnection,
    /// Whether the connection has been used before, and may have died since.
    pub(super) is_reused: bool,
    opened: Instant,
    pool: &'a Pool,
    _permit: SemaphorePermit<'a>,
}

impl Pool {
    pub(super) fn new(session: Session, connections_max: usize) -> Self {
        Self {
            session,
            permits: Semaphore::new(connections_max),
            idle: Mutex::default(),
            connect_backoff: Backoff::new(CONNECT_PAUSE_MAX),
        }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Waits for a free connection, or makes a new connection. The caller limits the time. `action` completes "could not".
    pub(super) async fn lease(&self, action: &str) -> Result<Lease<'_>, PostgresError> {
        let permit = self.permits.acquire().await;
        let permit = permit.map_err(|_| PostgresError::from_sqlx(action, Error::PoolClosed))?;
        while let Some(mut idle) = self.pop() {
            if idle.used.elapsed() < PING_AFTER || idle.connection.ping().await.is_ok() {
                return Ok(Lease {
                    connection: idle.connection,
                    is_reused: true,
                    opened: idle.opened,
                    pool: self,
                    _permit: permit,
                });
            }
            // The other connections are most likely dead as well.
            self.close_idle();
        }
        Ok(Lease {
            connection: self.connect(action).await?,
            is_reused: false,
            opened: Instant::now(),
            pool: self,
            _permit: permit,
        })
    }

    /// Makes a new connection. A failed attempt begins a pause. During the pause every caller gets the same error at once, so that
    /// many waiting clients make few attempts.
    pub(super) async fn connect(&self, action: &str) -> Result<PgConnection, PostgresError> {
        self.connect_backoff.check(action)?;
        match self.session.connect().await {
            Ok(connection) => {
                self.connect_backoff.end();
                Ok(connection)
            }
            Err(error) => Err(self
                .connect_backoff
                .begin(PostgresError::from_sqlx(action, error))),
        }
    }

    /// Closes all idle connections.
    pub(super) fn close_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
    }

    fn pop(&self) -> Option<Idle> {
        let mut idle = self.idle.lock();
        // The connections at the beginning were idle for the longest time.
        let surplus = idle
            .iter()
            .take_while(|idle| idle.used.elapsed() > IDLE_TIME_MAX)
            .count();
        idle.drain(..surplus);
        while let Some(last) = idle.pop() {
            if last.opened.elapsed() < AGE_MAX {
                return Some(last);
            }
        }
        None
    }

    /// Refuses new leases, waits for the leased connections, and closes the connections in an orderly way.
    pub(super) async fn close(&self, connections_max: u32) {
        let permits = self.permits.acquire_many(connections_max).await;
        self.permits.close();
        drop(permits);
        let idle = std::mem::take(&mut *self.idle.lock());
        for idle in idle {
            // The connection is closed even after an error.
            let _ = idle.connection.close().await;
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }
}

impl Lease<'_> {
    /// Returns the connection to the pool.
    pub(super) fn give_back(self) {
        let idle = Idle {
            connection: self.connection,
            opened: self.opened,
            used: Instant::now(),
        };
        self.pool.idle.lock().push(idle);
    }
}
