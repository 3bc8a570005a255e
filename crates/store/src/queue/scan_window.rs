//! Where a scan for due change sets begins.
//!
//! A claim reads the queue by `not_before`, oldest first, so it passes every set that was deleted since the last
//! vacuum. Usually these are few, and a scan takes a millisecond. But while a transaction stays open anywhere in
//! the database, vacuum removes nothing: after minutes each scan passes a million dead rows. So a slow full scan
//! is not repeated for a multiple of its time. The scans in between start at the oldest due set found so far.

use std::time::{Duration, Instant};

use diesel::data_types::PgTimestamp;

use crate::time::NEVER;

/// A scan that takes longer than this may pass more dead rows than it finds due ones. A batch takes little longer, so
/// if each claim passed dead rows for as long, a worker would be half as fast.
const SLOW_SCAN: Duration = Duration::from_millis(2);

/// Pause before the next full scan, as a multiple of the time that a slow one took.
const PAUSE_FACTOR: u32 = 10;

/// Upper bound of that pause. Only a full scan finds the expired leases of a dead worker, so these wait for it;
/// and the scan may have been slow for another reason.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// A short scan starts at least this long before the previous one. A transaction of the app that takes longer
/// from BEGIN to COMMIT may have to wait for the next full scan.
const OVERLAP: Duration = Duration::from_secs(10);

/// Where the scans of one statement begin.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ScanWindow {
    /// No full scan before this time.
    short_until: Option<Instant>,
    /// `not_before` of the oldest due set found, by the server's clock.
    oldest: Option<PgTimestamp>,
    /// When the previous scan began.
    last: Option<Instant>,
    last_was_short: bool,
}

/// Where a short scan begins: at the earlier of two times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ScanStart {
    /// `not_before` of the oldest due set found.
    pub(crate) oldest: PgTimestamp,
    /// Time before now, so that sets committed late are found.
    pub(crate) ago: Duration,
}

impl ScanWindow {
    /// Where a scan at `now` begins; `None` for a full scan.
    pub(crate) fn start(&self, now: Instant) -> Option<ScanStart> {
        self.short_until.filter(|until| now < *until)?;
        let since_last =
            self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        Some(ScanStart { oldest: self.oldest.unwrap_or(NEVER), ago: OVERLAP + since_last })
    }

    /// Records a scan: `oldest` is `not_before` of the first due set it found.
    pub(crate) fn record(
        &mut self,
        start: Option<ScanStart>,
        began: Instant,
        ended: Instant,
        oldest: Option<PgTimestamp>,
    ) {
        let took = ended.saturating_duration_since(began);
        self.last = Some(began);
        self.last_was_short = start.is_some();
        if start.is_none() {
            let is_slow = took > SLOW_SCAN;
            self.short_until = is_slow.then(|| ended + (took * PAUSE_FACTOR).min(MAX_PAUSE));
        }
        if start.is_none() || oldest.is_some() {
            self.oldest = oldest;
        }
    }

    /// Makes the next scan a full one. Returns whether the previous one was short.
    pub(crate) fn require_full_scan(&mut self) -> bool {
        std::mem::take(self).last_was_short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    const OLDEST: PgTimestamp = PgTimestamp(1_000);
    const LATER: PgTimestamp = PgTimestamp(2_000);

    #[test]
    fn after_a_fast_scan_the_next_one_is_full() {
        let mut window = ScanWindow::default();
        let began = Instant::now();
        assert_eq!(window.start(began), None);
        window.record(None, began, began + ms(2), Some(OLDEST));
        assert_eq!(window.start(began + ms(3)), None);
    }

    #[test]
    fn after_a_slow_scan_the_next_ones_begin_at_the_oldest_due_set() {
        let mut window = ScanWindow::default();
        let began = Instant::now();
        let ended = began + ms(300);
        window.record(None, began, ended, Some(OLDEST));

        let start = window.start(ended + ms(700));
        assert_eq!(start, Some(ScanStart { oldest: OLDEST, ago: OVERLAP + ms(1000) }));
        window.record(start, ended + ms(700), ended + ms(800), Some(LATER));
        let start = window.start(ended + ms(900));
        assert_eq!(
            start,
            Some(ScanStart { oldest: LATER, ago: OVERLAP + ms(200) }),
            "the scan found no older set"
        );
        let pause_ends = ended + ms(300) * PAUSE_FACTOR;
        assert!(window.start(pause_ends - ms(1)).is_some());
        assert_eq!(window.start(pause_ends), None);
    }

    #[test]
    fn after_a_slow_scan_without_a_due_set_the_next_ones_read_what_was_queued_since() {
        let mut window = ScanWindow::default();
        let began = Instant::now();
        window.record(None, began, began + ms(300), None);
        let start = window.start(began + ms(400));
        assert_eq!(start, Some(ScanStart { oldest: NEVER, ago: OVERLAP + ms(400) }));
        window.record(start, began + ms(400), began + ms(401), None);
        let later = began + ms(300) * PAUSE_FACTOR;
        assert_eq!(
            window.start(later).unwrap().ago,
            OVERLAP + ms(2600),
            "no set falls between two scans"
        );
    }

    #[test]
    fn a_full_scan_is_never_put_off_for_minutes() {
        let mut window = ScanWindow::default();
        let began = Instant::now();
        window.record(None, began, began + ms(29_000), None);
        assert_eq!(window.start(began + ms(29_000) + MAX_PAUSE), None);
    }

    #[test]
    fn a_required_full_scan_says_whether_the_previous_one_was_short() {
        let mut window = ScanWindow::default();
        let began = Instant::now();
        assert!(!window.require_full_scan());
        window.record(None, began, began + ms(300), None);
        assert!(!window.require_full_scan(), "the previous scan was full");
        window.record(None, began, began + ms(300), Some(OLDEST));
        window.record(window.start(began + ms(301)), began + ms(301), began + ms(302), None);
        assert!(window.require_full_scan());
        assert_eq!(window.start(began + ms(303)), None);
    }
}
