//! Being asked to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// Whether somebody asked the process to stop. Cheap to clone and to ask.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    requested: AtomicBool,
    notify: Notify,
}

impl Stop {
    /// Listens for SIGTERM and SIGINT from now on. The first asks to stop; the second leaves
    /// at once, and the lease brings back what was claimed.
    ///
    /// # Errors
    /// If the signals cannot be listened for.
    pub fn on_signals() -> anyhow::Result<Self> {
        let stop = Self::default();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let listening = stop.clone();
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if listening.is_requested() {
                    tracing::warn!(event = "stop_forced", signal = name, "leaving at once");
                    std::process::exit(130);
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
        self.state.requested.store(true, Ordering::SeqCst);
        self.state.notify.notify_waiters();
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        self.state.requested.load(Ordering::SeqCst)
    }

    /// Waits until somebody asks.
    pub async fn requested(&self) {
        let notified = self.state.notify.notified();
        tokio::pin!(notified);
        // Enabled before the look at the flag, so that a request in between is not missed.
        notified.as_mut().enable();
        if !self.is_requested() {
            notified.await;
        }
    }
}
