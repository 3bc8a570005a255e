//! The request to stop the process.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use store::StoreError;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::exit::{self, Exit};

/// The part of a stop's time limit that is reserved for releasing the rows of a slow group; at most a
/// quarter of it.
const FOR_RELEASE: Duration = Duration::from_secs(3);

/// The request to stop the process. Cloning and reading it is cheap.
#[derive(Clone, Debug)]
pub struct Stop {
    requested: CancellationToken,
    requested_at: Arc<OnceLock<Instant>>,
    timeout: Duration,
}

impl Stop {
    /// A stop that only [`Stop::request`] requests.
    pub fn within(timeout: Duration) -> Self {
        Self { requested: CancellationToken::new(), requested_at: Arc::default(), timeout }
    }

    /// Handles SIGTERM and SIGINT. The first requests a stop. The second exits at once, and other
    /// workers claim the rows when their lease expires. After `timeout` the process exits with the code
    /// `overdue`.
    ///
    /// # Errors
    /// If the operating system refuses the handlers.
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
                            "Stop overdue after {:.0} s: exiting; claimed rows are claimed again when their lease expires",
                            timeout.as_secs_f64()
                        );
                        std::process::exit(overdue.code());
                    }
                };
                if listening.is_requested() {
                    tracing::warn!(
                        event = "stop_forced",
                        signal = name,
                        "Second signal ({name}): exiting at once; claimed rows are claimed again when their lease expires"
                    );
                    std::process::exit(exit::INTERRUPTED.code());
                }
                tracing::info!(
                    event = "stop_requested",
                    signal = name,
                    "Stop requested ({name}): finishing the running group; a second signal exits at once"
                );
                listening.request();
            }
        });
        Ok(stop)
    }

    /// Requests a stop.
    pub fn request(&self) {
        // Set before the token, because tasks that wait for the token read it.
        let _ = self.requested_at.set(Instant::now());
        self.requested.cancel();
    }

    /// Whether a stop is requested.
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// The token of the request, for crates that do not know [`Stop`].
    pub const fn token(&self) -> &CancellationToken {
        &self.requested
    }

    /// Waits until a stop is requested.
    pub async fn requested(&self) {
        self.requested.cancelled().await;
    }

    /// Waits until a stop was requested and the running group must be abandoned, so that its rows
    /// can be released in time.
    pub async fn overdue(&self) {
        self.requested_for(self.timeout - FOR_RELEASE.min(self.timeout / 4)).await;
    }

    /// Runs `work`, but abandons it when a stop is overdue.
    ///
    /// # Errors
    /// As `work`, and [`StoreError::Stopped`].
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

    /// Waits until `limit` after the request to stop.
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
