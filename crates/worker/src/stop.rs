//! Being asked to stop.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use store::StoreError;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::exit::{self, Exit};

/// What is kept of the time for a stop to give back the rows of a group that took too long, but
/// never more than a quarter of it.
const GIVING_BACK: Duration = Duration::from_secs(3);

/// The request to stop the process. Cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Stop {
    requested: CancellationToken,
    requested_at: Arc<OnceLock<Instant>>,
    timeout: Duration,
}

impl Stop {
    /// One that is requested by [`Stop::request`] only.
    pub fn within(timeout: Duration) -> Self {
        Self { requested: CancellationToken::new(), requested_at: Arc::default(), timeout }
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

    /// Requests a stop.
    pub fn request(&self) {
        // Before the token, whose waiters read it.
        let _ = self.requested_at.set(Instant::now());
        self.requested.cancel();
    }

    /// Whether a stop is requested.
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Waits until a stop is requested.
    pub async fn requested(&self) {
        self.requested.cancelled().await;
    }

    /// Waits until a stop was requested and the running group must be abandoned, so that its rows
    /// can be released in time.
    pub async fn overdue(&self) {
        self.requested_for(self.timeout - GIVING_BACK.min(self.timeout / 4)).await;
    }

    /// Works until that is overdue.
    ///
    /// # Errors
    /// As the work, and [`StoreError::Stopped`].
    pub async fn or_overdue<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::select! {
            done = work => done,
            () = self.overdue() => Err(StoreError::Stopped),
        }
    }

    async fn out_of_time(&self) {
        self.requested_for(self.timeout).await;
    }

    /// Waits until a stop was requested this long ago.
    async fn requested_for(&self, limit: Duration) {
        self.requested.cancelled().await;
        let requested_at = self.requested_at.get().copied().unwrap_or_else(Instant::now);
        tokio::time::sleep_until(requested_at + limit).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_is_abandoned_a_quarter_before_the_end_of_the_time_for_a_stop() {
        let stop = Stop::within(Duration::from_secs(8));
        let waiting = stop.clone();
        let overdue = tokio::spawn(async move {
            waiting.overdue().await;
            Instant::now()
        });
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(!stop.is_requested() && !overdue.is_finished());

        let requested_at = Instant::now();
        stop.request();
        stop.requested().await;
        assert_eq!(overdue.await.unwrap() - requested_at, Duration::from_secs(6));
        // A second request does not extend the time.
        stop.request();
        stop.out_of_time().await;
        assert_eq!(requested_at.elapsed(), Duration::from_secs(8));
    }
}
