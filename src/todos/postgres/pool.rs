//! A bounded number of connections, each used by one statement at a time, and none trusted after an error.
//!
//! A connection goes back only after a statement that ended well; otherwise it is closed at once, without a word to a peer
//! that may not listen. So a request that is given up, or a network that swallows everything, leaves nothing behind.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx_core::connection::{ConnectOptions, Connection};
use sqlx_core::error::Error;
use sqlx_core::raw_sql::raw_sql;
use sqlx_postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{Semaphore, SemaphorePermit};

/// A connection that was used more recently than this is taken to be alive without asking.
const TRUSTED: Duration = Duration::from_secs(1);
/// Connections that nobody needed for this long are closed.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Connections are closed when they are this old: the name of the host may mean another machine by then.
const AGE_MAX: Duration = Duration::from_secs(1800);

/// What every connection begins with. A statement ends before the request that waits for it gives up, a commit is durable
/// whatever the default, and PostgreSQL lets go of connections whose other end has vanished.
const SETTINGS: &str = include_str!("../sql/postgres/settings.sql");

pub(super) struct Pool {
    options: PgConnectOptions,
    turns: Semaphore,
    /// The one used last is on top, so that those not needed grow old.
    idle: Mutex<Vec<Idle>>,
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
    pub(super) fn new(options: PgConnectOptions, connections_max: usize) -> Self {
        Self {
            options,
            turns: Semaphore::new(connections_max),
            idle: Mutex::default(),
        }
    }

    /// A connection, once there may be one more. Takes as long as it takes: the caller has the time limit.
    pub(super) async fn lease(&self) -> Result<Lease<'_>, Error> {
        let turn = self.turns.acquire().await.map_err(|_| Error::PoolClosed)?;
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
            connection: connect(&self.options).await?,
            is_reused: false,
            opened: Instant::now(),
            pool: self,
            _turn: turn,
        })
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

/// A new connection with our settings.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    let mut connection = options.connect().await?;
    raw_sql(SETTINGS).execute(&mut connection).await?;
    Ok(connection)
}
