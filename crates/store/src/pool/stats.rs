//! The state of the pool.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Store, lock};

/// How long an unsuccessful wait marks the pool as exhausted. Operators and monitors look every 15 s or
/// so, and must see it.
const EXHAUSTED_FOR: Duration = Duration::from_secs(30);

/// The load of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolHealth {
    /// Less than 70 % in use.
    Healthy,
    /// 70 to 90 % in use.
    Warning,
    /// More than 90 % in use.
    Critical,
    /// A task waited in vain for a connection within the last 30 seconds.
    Exhausted,
}

impl fmt::Display for PoolHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Exhausted => "exhausted",
        })
    }
}

/// The state of the pool at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolStats {
    /// Connections in use.
    pub in_use: u32,
    /// Connections open and free.
    pub idle: u32,
    /// Open connections: in use and idle.
    pub open: u32,
    /// Maximum of open connections.
    pub max: u32,
    /// Tasks waiting for a connection.
    pub waiting: u32,
    /// `in_use` in percent of `max`.
    pub utilisation: f64,
    /// The load class of `utilisation`.
    pub health: PoolHealth,
}

impl Store {
    /// The current state of the pool.
    pub fn stats(&self) -> PoolStats {
        let state = self.pool.state();
        let max = self.shared.settings.max_size;
        let in_use = state.connections.saturating_sub(state.idle_connections);
        let utilisation = f64::from(in_use) * 100.0 / f64::from(max);
        let last_timed_out = *lock(&self.shared.last_timed_out);
        let health = if last_timed_out.is_some_and(|last| last.elapsed() < EXHAUSTED_FOR) {
            PoolHealth::Exhausted
        } else if utilisation > 90.0 {
            PoolHealth::Critical
        } else if utilisation >= 70.0 {
            PoolHealth::Warning
        } else {
            PoolHealth::Healthy
        };
        PoolStats {
            in_use,
            idle: state.idle_connections,
            open: state.connections,
            max,
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            utilisation,
            health,
        }
    }

    /// The longest wait for a connection since the last call.
    pub fn take_longest_wait(&self) -> Duration {
        Duration::from_micros(self.shared.longest_wait.swap(0, Ordering::Relaxed))
    }
}
