//! The connection to the database, as a circuit breaker keeps it: closed while it works, open
//! while a sick database is left alone, half-open while it is tried.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use store::{ConnectError, ErrorClass, Store, StoreError};
use tokio::sync::Notify;

use super::{Service, lock};
use crate::metrics::{self, Breaker};
use crate::setup::{self, spread};

/// The waits before the database is tried again. After the last one it stays: a try costs the
/// server one log-in, and ten seconds are soon enough for figures.
const WAITS: [Duration; 6] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(10),
];

/// An unchanged cause is told again so often.
const TELL_AGAIN: Duration = Duration::from_secs(300);

/// How the database is at the moment.
#[derive(Clone, Debug, Default)]
pub enum State {
    /// Not tried yet.
    #[default]
    Unknown,
    /// It cannot be worked with, and why.
    Unavailable(String),
    /// It is worked with.
    Ready(Store),
}

/// The state of the connection.
#[derive(Default)]
pub struct Database {
    state: Mutex<State>,
    /// Told whenever the state changes.
    pub changed: Notify,
    troubles: AtomicU32,
    /// It can be connected to, but did not do what was asked.
    unproven: AtomicBool,
    /// The configuration names another one.
    moved: Arc<AtomicBool>,
    /// No connection can be had.
    unreachable: AtomicBool,
    told: Mutex<Option<Told>>,
}

struct Told {
    cause: String,
    since: Instant,
    last: Instant,
}

impl Database {
    /// How it is.
    pub fn state(&self) -> State {
        lock(&self.state).clone()
    }

    /// The database, if it is worked with.
    pub fn store(&self) -> Option<Store> {
        match self.state() {
            State::Ready(store) => Some(store),
            _ => None,
        }
    }

    /// Whether no connection can be had; it counts while the state is [`State::Unavailable`].
    pub(super) fn is_unreachable(&self) -> bool {
        self.unreachable.load(Ordering::Relaxed)
    }

    /// From now on the configuration names another one, or the way to it is another.
    pub(super) fn move_on(&self) {
        self.moved.store(true, Ordering::Relaxed);
    }

    /// Set while that is so, and not done yet.
    pub(super) fn moved(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.moved)
    }

    /// Whether that is so, and not done yet.
    pub(super) fn has_moved(&self) -> bool {
        self.moved.load(Ordering::Relaxed)
    }

    fn set(&self, state: State) {
        *lock(&self.state) = state;
        self.changed.notify_one();
    }

    /// How long to leave it alone. A little of it is chance, so that several workers do not come
    /// all at once.
    fn wait(&self) -> Duration {
        spread(wait_after(self.troubles.load(Ordering::Relaxed)))
    }
}

/// The wait after so many failed attempts in a row.
fn wait_after(troubles: u32) -> Duration {
    let Some(last) = (troubles as usize).checked_sub(1) else { return Duration::ZERO };
    WAITS[last.min(WAITS.len() - 1)]
}

impl Service {
    /// Connects, however long it takes. `None` if asked to stop meanwhile.
    pub(super) async fn connect(&self) -> Option<Store> {
        loop {
            let until = Instant::now() + self.database.wait();
            while Instant::now() < until && !self.stop.is_requested() {
                self.nap(until - Instant::now()).await;
            }
            if self.stop.is_requested() {
                return None;
            }
            metrics::show_breaker(Breaker::HalfOpen);
            self.database.moved.store(false, Ordering::Relaxed);
            let config = self.config();
            let tried = tokio::select! {
                tried = try_to_connect(&config) => tried,
                () = self.stop.requested() => return None,
            };
            self.heartbeat.beat();
            match tried {
                Ok(store) => {
                    if !self.database.unproven.load(Ordering::Relaxed) {
                        self.found(&store);
                    }
                    return Some(store);
                }
                Err(error) => {
                    let unreachable = error.is::<ConnectError>();
                    self.miss(format!("{error:#}"), None, unreachable);
                }
            }
        }
    }

    /// Another database is to be worked with.
    pub(super) async fn leave(&self) {
        // What was done is remembered where it was done.
        self.summarise().await;
        self.set(State::Unknown);
    }

    fn set(&self, state: State) {
        self.database.set(state);
        if let Some(alerting) = &self.alerting {
            alerting.look.notify_one();
        }
    }

    /// The database did what was asked: the next trouble is the first again.
    pub(super) fn worked(&self, store: &Store) {
        self.database.troubles.store(0, Ordering::Relaxed);
        if self.database.unproven.swap(false, Ordering::Relaxed) {
            self.found(store);
        }
    }

    /// The database does not do what is asked: its connections are thrown away. If it is there all
    /// the same, that alone is no reason to call it ready again.
    pub(super) fn lose(&self, error: &StoreError) {
        let there = !matches!(error.class(), ErrorClass::ConnectionLost | ErrorClass::NoAnswer);
        self.database.unproven.store(there, Ordering::Relaxed);
        self.miss(format!("{error} [{}]", error.class().name()), error.sqlstate(), !there);
    }

    fn found(&self, store: &Store) {
        metrics::show_breaker(Breaker::Closed);
        metrics::show_reachable(true);
        let missed = lock(&self.database.told).take();
        tracing::info!(
            event = "database_ready",
            missed_s = missed.map_or(0.0, |told| told.since.elapsed().as_secs_f64()),
            "connected to the database"
        );
        self.set(State::Ready(store.clone()));
    }

    fn miss(&self, cause: String, sqlstate: Option<&str>, unreachable: bool) {
        metrics::show_breaker(Breaker::Open);
        metrics::show_reachable(!unreachable);
        self.database.unreachable.store(unreachable, Ordering::Relaxed);
        let troubles = self.database.troubles.fetch_add(1, Ordering::Relaxed) + 1;
        let now = Instant::now();
        let mut told = lock(&self.database.told);
        let news =
            told.as_ref().is_none_or(|told| told.cause != cause || now - told.last >= TELL_AGAIN);
        if news {
            tracing::warn!(
                event = "database_unavailable",
                cause,
                sqlstate,
                tries = troubles,
                "database unavailable; rows stay queued; circuit breaker open; next attempt in {:.1} s: {cause}",
                wait_after(troubles).as_secs_f64()
            );
            let since = told.as_ref().map_or(now, |told| told.since);
            *told = Some(Told { cause: cause.clone(), since, last: now });
        }
        drop(told);
        self.set(State::Unavailable(cause));
    }
}

async fn try_to_connect(config: &crate::config::Config) -> anyhow::Result<Store> {
    let store = setup::connect(config).await?;
    setup::require_current_schema(&store).await?;
    setup::require_budget(&store).await?;
    Ok(store)
}
