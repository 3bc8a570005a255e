//! The connection to the database, with a circuit breaker: closed while the database works, open
//! between two attempts to connect, half-open during an attempt.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use store::{Backoff, ConnectError, ErrorClass, Looks, Store, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Service, lock};
use crate::changes::keep_epoch;
use crate::config::Config;
use crate::metrics::{self, Breaker};
use crate::setup;
use crate::tables::age;

/// How often an unchanged cause is reported again.
const REPORT_AGAIN: Duration = Duration::from_secs(300);

/// The state of the database for the service.
#[derive(Clone, Debug, Default)]
pub enum State {
    /// The service has not tried to connect yet.
    #[default]
    Unknown,
    /// The service cannot work with the database, for this reason.
    Unavailable(String),
    /// The service works with the database.
    Ready(Store),
}

/// The state of the connection.
pub struct Database {
    state: Mutex<State>,
    /// Notified when the state changes.
    pub changed: Notify,
    backoff: Mutex<Backoff>,
    /// When the next attempt to connect begins.
    next_attempt: Mutex<Instant>,
    /// A connection succeeded, but no statement has succeeded since the last error.
    is_unproven: AtomicBool,
    /// Cancelled when the configuration names another database; the next attempt to connect has a new token.
    reconnect_requested: Mutex<CancellationToken>,
    /// No connection can be made.
    is_unreachable: AtomicBool,
    reported: Mutex<Option<ReportedFailure>>,
}

/// A failure that is in the log.
struct ReportedFailure {
    cause: String,
    since: Instant,
    last: Instant,
}

impl Database {
    /// In the state [`State::Unknown`]; the first attempt to connect begins at once.
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            backoff: Mutex::new(Backoff::reconnect()),
            next_attempt: Mutex::new(Instant::now()),
            is_unproven: AtomicBool::new(false),
            reconnect_requested: Mutex::default(),
            is_unreachable: AtomicBool::new(false),
            reported: Mutex::default(),
        }
    }

    /// The current state.
    pub fn state(&self) -> State {
        lock(&self.state).clone()
    }

    /// The database, if the service works with it.
    pub fn store(&self) -> Option<Store> {
        match self.state() {
            State::Ready(store) => Some(store),
            _ => None,
        }
    }

    /// Whether no connection can be made; valid in the state [`State::Unavailable`].
    pub(super) fn is_unreachable(&self) -> bool {
        self.is_unreachable.load(Ordering::Relaxed)
    }

    /// Requests a new connection: the configuration names another database or another way to it.
    pub(super) fn reconnect(&self) {
        lock(&self.reconnect_requested).cancel();
    }

    /// Cancelled once a new connection is requested.
    pub(super) fn reconnect_requested(&self) -> CancellationToken {
        lock(&self.reconnect_requested).clone()
    }

    /// For how long the database has been unavailable, and how long until the next attempt to connect.
    pub(super) fn outage(&self) -> Option<(Duration, Duration)> {
        let since = lock(&self.reported).as_ref().map(|reported| reported.since.elapsed())?;
        let next = *lock(&self.next_attempt);
        Some((since, next.saturating_duration_since(Instant::now())))
    }

    fn set(&self, state: State) {
        *lock(&self.state) = state;
        self.changed.notify_one();
    }
}

impl Service {
    /// Tries to connect until it succeeds; returns `None` if a stop is requested meanwhile. The first look at the
    /// tables has begun, so that it uses the same connection.
    pub(super) async fn connect(&self) -> Option<(Store, Looks)> {
        loop {
            let until = *lock(&self.database.next_attempt);
            while Instant::now() < until && !self.stop.is_requested() {
                self.sleep_with_heartbeat(until - Instant::now()).await;
            }
            if self.stop.is_requested() {
                return None;
            }
            metrics::show_breaker(Breaker::HalfOpen);
            *lock(&self.database.reconnect_requested) = CancellationToken::new();
            let config = self.config();
            let tried = tokio::select! {
                tried = self.try_to_connect(&config) => tried,
                () = self.stop.requested() => return None,
            };
            self.heartbeat.beat();
            match tried {
                Ok((store, looks)) => {
                    if !self.database.is_unproven.load(Ordering::Relaxed) {
                        self.mark_ready(&store);
                    }
                    return Some((store, looks));
                }
                Err(error) => {
                    let is_unreachable = error.is::<ConnectError>();
                    self.record_failure(format!("{error:#}"), None, is_unreachable);
                }
            }
        }
    }

    async fn try_to_connect(&self, config: &Config) -> anyhow::Result<(Store, Looks)> {
        let store = match &self.budgets {
            Some(budgets) => setup::connect_within(config, budgets).await?,
            None => setup::connect(config).await?,
        };
        let looks = store.looks();
        setup::require_current_schema(&store).await?;
        // The budget of the server limits targets together.
        if !self.is_of_target() {
            setup::require_budget(&store, u32::from(config.http.port > 0)).await?;
        }
        keep_epoch(&store).await;
        Ok((store, looks))
    }

    /// Leaves the database, because the configuration names another one.
    pub(super) async fn disconnect(&self) {
        // The summary belongs into the database where the work was done.
        self.summarise().await;
        self.set(State::Unknown);
    }

    fn set(&self, state: State) {
        self.database.set(state);
        if let Some(alerting) = &self.alerting {
            alerting.look.notify_one();
        }
    }

    /// A statement succeeded: the next error is the first again.
    pub(super) fn record_success(&self, store: &Store) {
        lock(&self.database.backoff).reset();
        if self.database.is_unproven.swap(false, Ordering::Relaxed) {
            self.mark_ready(store);
        }
    }

    /// A drain ended with an error: the service drops all connections and is degraded. If the server still
    /// accepts connections, the database is ready again only after a statement has succeeded.
    pub(super) fn mark_degraded(&self, error: &StoreError) {
        let is_reachable =
            !matches!(error.class(), ErrorClass::ConnectionLost | ErrorClass::NoAnswer);
        self.database.is_unproven.store(is_reachable, Ordering::Relaxed);
        self.record_failure(
            format!("{error} [{}]", error.class().name()),
            error.sqlstate(),
            !is_reachable,
        );
    }

    fn mark_ready(&self, store: &Store) {
        metrics::show_breaker(Breaker::Closed);
        metrics::show_reachable(true);
        let failure = lock(&self.database.reported).take();
        let unavailable_s =
            failure.as_ref().map_or(0.0, |failure| failure.since.elapsed().as_secs_f64());
        let was_unavailable = match failure {
            Some(_) => format!("; the circuit breaker was open for {}", age(unavailable_s)),
            None => String::new(),
        };
        tracing::info!(
            event = "database_ready",
            unavailable_s,
            "connected to the database{was_unavailable}"
        );
        self.set(State::Ready(store.clone()));
    }

    fn record_failure(&self, cause: String, sqlstate: Option<&str>, is_unreachable: bool) {
        metrics::show_breaker(Breaker::Open);
        metrics::show_reachable(!is_unreachable);
        self.database.is_unreachable.store(is_unreachable, Ordering::Relaxed);
        let mut backoff = lock(&self.database.backoff);
        let wait = backoff.record_error().unwrap_or_default();
        let tries = backoff.errors();
        drop(backoff);
        let now = Instant::now();
        *lock(&self.database.next_attempt) = now + wait;
        let mut reported = lock(&self.database.reported);
        let is_new = reported
            .as_ref()
            .is_none_or(|reported| reported.cause != cause || now - reported.last >= REPORT_AGAIN);
        if is_new {
            tracing::warn!(
                event = "database_unavailable",
                cause,
                sqlstate,
                tries,
                "database unavailable; rows stay queued; circuit breaker open; next attempt in {:.1} s: {cause}",
                wait.as_secs_f64()
            );
            let since = reported.as_ref().map_or(now, |reported| reported.since);
            *reported = Some(ReportedFailure { cause: cause.clone(), since, last: now });
        }
        drop(reported);
        self.set(State::Unavailable(cause));
    }
}
