//! How the tasks of one target share its connections, and the target the connections of its server.
//!
//! A log-in costs the server more than a poll. So the tasks of a target that does not drain use one connection
//! in turn, and the target keeps it from the first to the last statement of a look at its tables. After that it
//! is closed if another target needs its place.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Store;
use crate::connection::server_budget::Need;

/// How long a task waits for the connection that another task of its target uses. After that it uses a
/// connection of its own: the other statement is slow.
const PATIENCE: Duration = Duration::from_secs(2);

/// The state of a pool's turns.
pub(super) struct Turns {
    /// The turn to use the only connection of a target that does not drain.
    turn: Semaphore,
    /// Tasks that look at the tables.
    looks: AtomicU32,
    /// Drains that run.
    drains: AtomicU32,
    /// Whether the database had no work for long.
    is_idle: AtomicBool,
    /// Whether idle connections are taken only to be returned.
    is_returning: AtomicBool,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            turn: Semaphore::new(1),
            looks: AtomicU32::new(0),
            drains: AtomicU32::new(0),
            is_idle: AtomicBool::new(false),
            is_returning: AtomicBool::new(false),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.is_idle.load(Ordering::Relaxed)
    }

    pub(super) fn is_returning(&self) -> bool {
        self.is_returning.load(Ordering::Relaxed)
    }

    /// For what the target needs its connections.
    pub(super) fn need(&self) -> Need {
        let is_any = |tasks: &AtomicU32| tasks.load(Ordering::Relaxed) > 0;
        match (is_any(&self.drains), is_any(&self.looks)) {
            (true, _) => Need::Drain,
            (false, true) => Need::Look,
            (false, false) => Need::Nothing,
        }
    }
}

/// A look at the tables, which ends when this is dropped.
#[derive(Debug)]
pub struct Looks(Store);

impl Drop for Looks {
    fn drop(&mut self) {
        self.0.shared.turns.looks.fetch_sub(1, Ordering::Relaxed);
        self.0.return_idle();
    }
}

/// A drain, which ends when this is dropped.
#[derive(Debug)]
pub struct Drains(Store);

impl Drop for Drains {
    fn drop(&mut self) {
        self.0.shared.turns.drains.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Store {
    /// Says that a task looks at the tables from now on: connections are kept for its next statement, within the
    /// turn of the target.
    pub fn looks(&self) -> Looks {
        self.shared.turns.looks.fetch_add(1, Ordering::Relaxed);
        Looks(self.clone())
    }

    /// Says that a drain runs from now on: each task may use a connection of its own.
    pub fn drains(&self) -> Drains {
        self.shared.turns.drains.fetch_add(1, Ordering::Relaxed);
        Drains(self.clone())
    }

    /// Says whether the database had no work for long. Then its connection is closed after each look if the
    /// budget of its server is nearly used up.
    pub fn set_idle(&self, is_idle: bool) {
        self.shared.turns.is_idle.store(is_idle, Ordering::Relaxed);
    }

    /// Closes unused connections as soon as another target waits for a place. Without an unused connection it never
    /// returns, so the caller must look again from time to time.
    pub async fn until_recalled(&self) {
        let is_unused =
            self.pool.state().idle_connections > 0 && self.shared.need() == Need::Nothing;
        match self.shared.target.share() {
            Some(share) if is_unused => {
                // A target that waits already has recalled a connection before this one was there.
                if !share.is_wanted() {
                    share.recalled().await;
                }
                self.return_idle();
            }
            _ => std::future::pending().await,
        }
    }

    /// Waits for the turn to use a connection, if the target has turns.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let turns = &self.shared.turns;
        self.shared.target.share()?;
        while turns.need() != Need::Drain {
            match tokio::time::timeout(PATIENCE, turns.turn.acquire()).await {
                Ok(turn) => return turn.ok(),
                Err(_) if self.pool.state().connections > 0 => return None,
                // The other task waits for a place in the server's budget, too.
                Err(_) => {}
            }
        }
        None
    }

    /// Returns idle connections to the pool once more, which closes those whose place is due to another target.
    fn return_idle(&self) {
        if self.shared.target.share().is_none() || self.shared.turns.need() != Need::Nothing {
            return;
        }
        self.shared.turns.is_returning.store(true, Ordering::Relaxed);
        let idle = self.pool.state().idle_connections;
        let taken: Vec<_> = (0..idle).map_while(|_| self.pool.get().now_or_never()).collect();
        self.shared.turns.is_returning.store(false, Ordering::Relaxed);
        drop(taken);
    }
}
