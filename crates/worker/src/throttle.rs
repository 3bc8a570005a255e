//! A limit on the rows that a process claims each second.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use crate::heartbeat::Heartbeat;
use crate::settings::SharedSettings;

/// The maximum sleep between two heartbeats.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The limit `batch.max_rows_per_second`, shared by all loops of a process.
///
/// A token bucket that holds one batch. After a pause one batch is claimed at once. The next one follows
/// when the limit allows as many rows as the previous batch had.
#[derive(Clone, Debug, Default)]
pub struct Throttle(Arc<Mutex<Claimed>>);

/// Claimed rows that the limit does not allow yet.
#[derive(Debug, Default)]
struct Claimed {
    rows: f64,
    /// Time of the last update; `None` before the first claim.
    at: Option<Instant>,
}

/// The permission to claim one batch. If there is a limit, no other loop of the process claims until the
/// permit is used or dropped. Otherwise loops that waited for the same moment would claim a batch each.
#[derive(Debug)]
pub struct Permit(Option<OwnedMutexGuard<Claimed>>);

impl Permit {
    /// Records that the claim took `rows` rows.
    pub fn took(self, rows: u32) {
        if let Some(mut claimed) = self.0 {
            claimed.rows += f64::from(rows);
        }
    }
}

impl Throttle {
    /// Waits until the limit allows a claim. A limit changed by a reload applies at once.
    ///
    /// The future may be dropped at any time, for example in a `select!` with a request to stop. Callers
    /// must check a time budget after the wait, which may be long.
    pub async fn wait(&self, settings: &SharedSettings, heartbeat: &Heartbeat) -> Permit {
        let mut changes = settings.changes();
        if changes.borrow_and_update().max_rows_per_second == 0 {
            return Permit(None);
        }
        let mut claimed = Arc::clone(&self.0).lock_owned().await;
        let mut rows_per_second = changes.borrow_and_update().max_rows_per_second;
        loop {
            // The time until now passed under the former limit.
            claimed.allow(rows_per_second);
            rows_per_second = changes.borrow_and_update().max_rows_per_second;
            let wait = claimed.wait(rows_per_second);
            if wait.is_zero() {
                return Permit((rows_per_second > 0).then_some(claimed));
            }
            tokio::select! {
                () = tokio::time::sleep(wait.min(LONGEST_SLEEP)) => heartbeat.beat(),
                // The settings outlive the wait, so an error cannot occur.
                _ = changes.changed() => {}
            }
        }
    }
}

impl Claimed {
    /// Adds the rows that the limit allowed since the last update.
    fn allow(&mut self, rows_per_second: u32) {
        let now = Instant::now();
        let elapsed = self.at.replace(now).map_or(Duration::ZERO, |at| now.duration_since(at));
        self.rows = (self.rows - elapsed.as_secs_f64() * f64::from(rows_per_second)).max(0.0);
    }

    /// The time until the limit allows all claimed rows; zero without a limit.
    fn wait(&mut self, rows_per_second: u32) -> Duration {
        if rows_per_second == 0 {
            self.rows = 0.0;
        }
        Duration::from_secs_f64(self.rows / f64::from(rows_per_second.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::config::Config;
    use crate::settings::Settings;

    fn settings(max_rows_per_second: u32) -> Settings {
        let loaded = Config::load(None, std::iter::empty::<(&str, &str)>(), None).unwrap();
        Settings { max_rows_per_second, ..Settings::from_config(&loaded.config).unwrap() }
    }

    /// The parts of a process that its loops share, with a clock that advances only while all of them
    /// sleep.
    #[derive(Clone)]
    struct Process {
        throttle: Throttle,
        settings: SharedSettings,
        heartbeat: Heartbeat,
        beats: Arc<AtomicU32>,
    }

    impl Process {
        fn new(max_rows_per_second: u32) -> Self {
            let beats = Arc::new(AtomicU32::new(0));
            let counted = Arc::clone(&beats);
            Self {
                throttle: Throttle::default(),
                settings: SharedSettings::new(settings(max_rows_per_second)),
                heartbeat: Heartbeat::heard_by(move || {
                    counted.fetch_add(1, Ordering::Relaxed);
                }),
                beats,
            }
        }

        async fn wait(&self) -> Permit {
            self.throttle.wait(&self.settings, &self.heartbeat).await
        }

        async fn claim(&self, batches: u32, rows: u32) {
            for _ in 0..batches {
                let permit = self.wait().await;
                // The time that a claim takes at the server.
                tokio::time::sleep(Duration::from_millis(5)).await;
                permit.took(rows);
            }
        }

        fn reload(&self, max_rows_per_second: u32) {
            self.settings.set(settings(max_rows_per_second));
        }
    }

    fn assert_elapsed(since: Instant, seconds: f64) {
        let elapsed = since.elapsed().as_secs_f64();
        assert!((elapsed - seconds).abs() < 0.1, "{elapsed} s, expected {seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn rows_are_claimed_as_fast_as_the_limit_allows_and_no_faster() {
        let (process, began) = (Process::new(100), Instant::now());
        process.claim(10, 200).await;
        assert_elapsed(began, 18.0);
        process.wait().await;
        assert_elapsed(began, 20.0);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_no_claim_waits() {
        let (process, began) = (Process::new(0), Instant::now());
        for _ in 0..1_000 {
            process.wait().await.took(200);
        }
        assert_elapsed(began, 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_rest_one_batch_is_claimed_at_once_and_not_two() {
        let process = Process::new(100);
        process.claim(1, 200).await;
        tokio::time::sleep(Duration::from_secs(1_000)).await;
        let began = Instant::now();
        process.claim(2, 200).await;
        assert_elapsed(began, 2.0);
    }

    #[tokio::test(start_paused = true)]
    async fn all_loops_of_a_process_share_one_limit() {
        let (process, began) = (Process::new(100), Instant::now());
        let loops: Vec<_> = (0..4)
            .map(|_| {
                let process = process.clone();
                tokio::spawn(async move { process.claim(5, 100).await })
            })
            .collect();
        for running in loops {
            running.await.unwrap();
        }
        assert_elapsed(began, 19.0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_that_a_claim_took_along_is_paid_for_by_the_next_wait() {
        let process = Process::new(100);
        process.claim(1, 3_600).await;
        let began = Instant::now();
        process.wait().await;
        assert_elapsed(began, 36.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_a_reload_changes_is_in_force_at_once_for_a_claim_that_waits() {
        for (before, after, seconds) in [(1, 95, 12.0), (10, 1, 110.0), (1, 0, 10.0)] {
            let process = Process::new(before);
            process.claim(1, 200).await;
            let began = Instant::now();
            let waiting = process.clone();
            let waiting = tokio::spawn(async move { waiting.wait().await });
            tokio::time::sleep(Duration::from_secs(10)).await;
            process.reload(after);
            waiting.await.unwrap();
            assert_elapsed(began, seconds);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_a_stop_ends_leaves_the_turn_to_other_loops() {
        let process = Process::new(100);
        process.claim(1, 200).await;
        let began = Instant::now();
        tokio::select! {
            _ = process.wait() => panic!("it is too early"),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        process.wait().await;
        assert_elapsed(began, 2.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_wait_gives_signs_of_life() {
        let process = Process::new(1);
        process.claim(1, 200).await;
        process.wait().await;
        assert!(process.beats.load(Ordering::Relaxed) >= 200);
    }
}
