//! The state of all targets: for systemd, the log, HTTP and the page.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Running, Targets};
use crate::service::view::Breaker;
use crate::service::{Service, lock};
use crate::tables::{age, counted};
use crate::target;

/// Targets in trouble that systemd's status names.
const NAMED: usize = 3;

/// The state of one target.
pub struct TargetState {
    /// The name of the target.
    pub name: String,
    /// Whether its database can be used.
    pub breaker: Breaker,
    /// Whether its work makes no progress.
    pub is_stuck: bool,
    /// Changes that are not in the figures yet; `None` if unknown.
    pub queued: Option<i64>,
    /// How long the oldest change has waited, in seconds.
    pub oldest_s: Option<f64>,
    /// Dead raw rows.
    pub dead: Option<i64>,
    /// Rows completed since the target is served.
    pub completed: i64,
    /// Connections in use, open, and their maximum.
    pub pool: Option<(u32, u32, u32)>,
}

impl TargetState {
    fn of(name: &str, service: &Service) -> Self {
        let (_, is_stuck) = service.silence();
        let backlog = service.last_backlog().map(|(kinds, _)| kinds);
        let sum = |value: fn(&store::Backlog) -> i64| {
            backlog.as_ref().map(|kinds| kinds.iter().map(value).sum())
        };
        let oldest = backlog.iter().flatten().filter_map(|kind| kind.oldest_seconds);
        Self {
            name: name.to_owned(),
            breaker: service.breaker(),
            is_stuck,
            queued: sum(|kind| kind.rows),
            oldest_s: oldest.reduce(f64::max),
            dead: sum(|kind| kind.dead),
            completed: service.totals().0.rows_completed,
            pool: service.pool().map(|pool| (pool.in_use, pool.open, pool.max)),
        }
    }

    /// Whether rows of the target are processed.
    pub fn is_ready(&self) -> bool {
        self.breaker == Breaker::Closed && !self.is_stuck
    }

    /// The state in one word.
    pub fn word(&self) -> &'static str {
        match &self.breaker {
            _ if self.is_stuck => "stuck",
            Breaker::Closed => "ready",
            Breaker::Starting => "starting",
            Breaker::Open { .. } => "unavailable",
        }
    }

    /// Why it is not ready.
    pub fn reason(&self) -> Option<&str> {
        match &self.breaker {
            Breaker::Open { cause, .. } => Some(cause),
            _ => None,
        }
    }

    /// The state as JSON.
    pub fn to_json(&self) -> Value {
        let pool = self
            .pool
            .map(|(in_use, open, max)| json!({ "in_use": in_use, "open": open, "max": max }));
        json!({
            "name": self.name,
            "status": self.word(),
            "reason": self.reason(),
            "queued": self.queued,
            "oldest_seconds": self.oldest_s,
            "dead": self.dead,
            "completed": self.completed,
            "pool": pool,
        })
    }
}

/// Sums over targets.
pub struct Sums {
    /// Number of targets.
    pub targets: usize,
    /// How many of them are ready.
    pub ready: usize,
    /// Changes that are not in the figures yet, where they are known.
    pub queued: i64,
    /// The longest wait of a change, in seconds.
    pub oldest_s: Option<f64>,
    /// Dead raw rows.
    pub dead: i64,
    /// Rows completed since their targets are served.
    pub completed: i64,
    /// Open connections.
    pub open: u32,
}

impl Sums {
    /// The sums over these targets.
    pub fn over(states: &[TargetState]) -> Self {
        Self {
            targets: states.len(),
            ready: states.iter().filter(|state| state.is_ready()).count(),
            queued: states.iter().filter_map(|state| state.queued).sum(),
            oldest_s: states.iter().filter_map(|state| state.oldest_s).reduce(f64::max),
            dead: states.iter().filter_map(|state| state.dead).sum(),
            completed: states.iter().map(|state| state.completed).sum(),
            open: states.iter().filter_map(|state| state.pool).map(|(_, open, _)| open).sum(),
        }
    }
}

impl Targets {
    /// The state of each target, by name.
    pub fn states(&self) -> Vec<TargetState> {
        lock(&self.members).iter().map(|(name, of)| TargetState::of(name, of)).collect()
    }

    /// Whether the process is stuck: it has targets, and none makes progress.
    pub(super) fn is_stuck(&self) -> bool {
        let members = lock(&self.members);
        !members.is_empty() && members.values().all(|service| service.is_stuck())
    }

    /// Sets the gauges of all targets.
    pub(super) fn show_gauges(&self) {
        for (name, service) in lock(&self.members).iter() {
            target::within_sync(Arc::from(name.as_str()), || service.show_gauges());
        }
    }

    /// Reports the state to systemd, and from time to time to the log.
    pub(super) fn observe(&self, running: &mut Running) {
        let states = self.states();
        if states.is_empty() {
            // Without targets no work beats the heartbeat.
            self.supervisor.alive();
        }
        self.supervisor.status(in_words(&states));
        let every = lock(&self.running).config.service.summary;
        if running.last_summary.elapsed() >= every {
            running.last_summary = Instant::now();
            let Sums { targets, ready, queued, oldest_s, dead, completed, open } =
                Sums::over(&states);
            tracing::info!(
                event = "targets_summary",
                targets,
                ready,
                queued,
                oldest_s,
                dead_rows = dead,
                completed,
                connections = open,
                "{}",
                in_words(&states)
            );
        }
    }
}

fn in_words(states: &[TargetState]) -> String {
    let sums = Sums::over(states);
    let targets = counted(sums.targets as i64, "target", "targets");
    let rows = counted(sums.queued, "row", "rows");
    let oldest = sums.oldest_s.map_or_else(String::new, |s| format!(", oldest {}", age(s)));
    let mut text = format!("{} of {targets} ready: {rows} queued{oldest}", sums.ready);
    if sums.dead > 0 {
        text.push_str(&format!(", {} dead", sums.dead));
    }
    let in_trouble: Vec<&str> = states
        .iter()
        .filter(|state| !state.is_ready() && state.breaker != Breaker::Starting)
        .map(|state| state.name.as_str())
        .collect();
    if let Some(named) = in_trouble.get(..in_trouble.len().min(NAMED)).filter(|n| !n.is_empty()) {
        text.push_str(&format!("; unavailable: {}", named.join(", ")));
        if in_trouble.len() > NAMED {
            text.push_str(&format!(" and {} more", in_trouble.len() - NAMED));
        }
    }
    text
}
