//! Being asked to stop.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::exit::{self, Exit};

/// What is kept of the time for a stop to give back the rows of a group that took too long, but
/// never more than a quarter of it.
const GIVING_BACK: Duration = Duration::from_secs(3);

/// Whether somebody asked the process to stop. Cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Stop {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    requested_at: OnceLock<Instant>,
    notify: Notify,
    timeout: Duration,
}

impl Stop {
    /// One that is asked by [`Stop::request`] only.
    pub fn within(timeout: Duration) -> Self {
        let state = State { requested_at: OnceLock::new(), notify: Notify::new(), timeout };
        Self { state: Arc::new(state) }
    }

    /// Listens for SIGTERM and SIGINT from now on. The first asks to stop; the second leaves
    /// at once, and the lease brings back what was claimed. At the end of `timeout` it leaves with
    /// the exit code `overdue`.
    ///
    /// # Errors
    /// If the signals cannot be listened for.
    pub fn on_signals(timeout: Duration, overdue: Exit) -> anyhow::Result<Self> {
        let stop = Self::within(timeout);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let listening = stop.clone();
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                    () = listening.out_of_time() => {
                        tracing::warn!(
                            event = "stop_overdue",
                            timeout_s = timeout.as_secs_f64(),
                            "leaving; what is still claimed comes back when its lease ends"
                        );
                        std::process::exit(overdue.code());
                    }
                };
                if listening.is_requested() {
                    tracing::warn!(event = "stop_forced", signal = name, "leaving at once");
                    std::process::exit(exit::INTERRUPTED.code());
                }
                tracing::info!(
                    event = "stop_requested",
                    signal = name,
                    "finishing the running group; once more to leave at once"
                );
                listening.request();
            }
        });
        Ok(stop)
    }

    /// Asks to stop.
    pub fn request(&self) {
        let _ = self.state.requested_at.set(Instant::now());
        self.state.notify.notify_waiters();
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        self.state.requested_at.get().is_some()
    }

    /// Waits until somebody asks.
    pub async fn requested(&self) {
        self.requested_at().await;
    }

    /// Waits until a stop was asked for and what still runs must be abandoned, so that its rows
    /// can be given back in time.
    pub async fn overdue(&self) {
        let timeout = self.state.timeout;
        let limit = timeout - GIVING_BACK.min(timeout / 4);
        tokio::time::sleep_until(self.requested_at().await + limit).await;
    }

    async fn out_of_time(&self) {
        tokio::time::sleep_until(self.requested_at().await + self.state.timeout).await;
    }

    async fn requested_at(&self) -> Instant {
        loop {
            let notified = self.state.notify.notified();
            // Looked at after the wait has begun, so that a request in between is not missed.
            if let Some(instant) = self.state.requested_at.get() {
                return *instant;
            }
            notified.await;
        }
    }
}
