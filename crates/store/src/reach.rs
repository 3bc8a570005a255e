//! How far back the queue is looked through.
//!
//! What is due is found by its time, oldest first, and so each look passes all that was taken off the
//! queue since the last vacuum. Mostly that is little, and a look takes a millisecond. But while anybody
//! keeps a transaction open, a vacuum takes nothing away: after minutes each look would pass a million
//! dead rows. So a look from the beginning that took long is not repeated before a multiple of that
//! time, and those between begin where the oldest due row stood.

use std::time::{Duration, Instant};

use diesel::data_types::PgTimestamp;

/// A look that takes longer passes more than it finds.
const LONG: Duration = Duration::from_millis(50);

/// After a long look, so many times its time is spent otherwise.
const REST: u32 = 10;

/// But no more than that: what only a look from the beginning finds, such as the rows of a worker that is
/// gone, waits for it, and a look may have taken long for another reason.
const LONGEST_REST: Duration = Duration::from_secs(15);

/// The least that is looked through, beside what has come since the last look. The rows of an app's
/// transaction that takes longer from BEGIN to COMMIT may be found by the next look from the beginning
/// only.
const LEAST: Duration = Duration::from_secs(10);

/// How far back one question looks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach {
    /// Until when it does not look from the beginning.
    rests_until: Option<Instant>,
    /// Where the oldest due row stood that was found. By the server's clock: nothing is reckoned with it.
    oldest: Option<PgTimestamp>,
    /// When the last look began.
    last: Option<Instant>,
    /// Whether the last look began elsewhere than at the beginning.
    was_short: bool,
}

/// Where a look begins that does not begin at the beginning: at the earlier of two times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Since {
    /// Where the oldest due row stood.
    pub(crate) oldest: PgTimestamp,
    /// How long ago.
    pub(crate) ago: Duration,
}

/// PostgreSQL's infinity: later than everything.
const NEVER: PgTimestamp = PgTimestamp(i64::MAX);

impl Reach {
    /// Where to begin now; `None` for the beginning.
    pub(crate) fn at(&self, now: Instant) -> Option<Since> {
        self.rests_until.filter(|until| now < *until)?;
        let since_last =
            self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        Some(Since { oldest: self.oldest.unwrap_or(NEVER), ago: LEAST + since_last })
    }

    /// What a look has found: where its oldest row stood.
    pub(crate) fn looked(
        &mut self,
        since: Option<Since>,
        began: Instant,
        ended: Instant,
        oldest: Option<PgTimestamp>,
    ) {
        let took = ended.saturating_duration_since(began);
        self.last = Some(began);
        self.was_short = since.is_some();
        if since.is_none() {
            self.rests_until = (took > LONG).then(|| ended + (took * REST).min(LONGEST_REST));
        }
        if since.is_none() || oldest.is_some() {
            self.oldest = oldest;
        }
    }

    /// Looks from the beginning next time. Says whether the last look did not.
    pub(crate) fn look_everywhere(&mut self) -> bool {
        std::mem::take(self).was_short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    const PLACE: PgTimestamp = PgTimestamp(1_000);
    const LATER: PgTimestamp = PgTimestamp(2_000);

    #[test]
    fn as_long_as_looks_are_quick_each_begins_at_the_beginning() {
        let mut reach = Reach::default();
        let began = Instant::now();
        assert_eq!(reach.at(began), None);
        reach.looked(None, began, began + ms(50), Some(PLACE));
        assert_eq!(reach.at(began + ms(51)), None);
    }

    #[test]
    fn after_a_long_look_the_next_ones_begin_where_the_oldest_due_row_stood() {
        let mut reach = Reach::default();
        let began = Instant::now();
        let ended = began + ms(300);
        reach.looked(None, began, ended, Some(PLACE));

        let since = reach.at(ended + ms(700));
        assert_eq!(since, Some(Since { oldest: PLACE, ago: LEAST + ms(1000) }));
        reach.looked(since, ended + ms(700), ended + ms(800), Some(LATER));
        let since = reach.at(ended + ms(900));
        assert_eq!(
            since,
            Some(Since { oldest: LATER, ago: LEAST + ms(200) }),
            "nothing older was found"
        );
        let rested = ended + ms(300) * REST;
        assert!(reach.at(rested - ms(1)).is_some());
        assert_eq!(reach.at(rested), None);
    }

    #[test]
    fn after_a_long_look_that_found_nothing_what_has_come_since_is_looked_at() {
        let mut reach = Reach::default();
        let began = Instant::now();
        reach.looked(None, began, began + ms(300), None);
        let since = reach.at(began + ms(400));
        assert_eq!(since, Some(Since { oldest: NEVER, ago: LEAST + ms(400) }));
        reach.looked(since, began + ms(400), began + ms(401), None);
        let later = began + ms(300) * REST;
        assert_eq!(
            reach.at(later).unwrap().ago,
            LEAST + ms(2600),
            "none is left between two looks"
        );
    }

    #[test]
    fn what_only_a_look_from_the_beginning_finds_does_not_wait_for_minutes() {
        let mut reach = Reach::default();
        let began = Instant::now();
        reach.looked(None, began, began + ms(29_000), None);
        assert_eq!(reach.at(began + ms(29_000) + LONGEST_REST), None);
    }

    #[test]
    fn who_must_not_miss_anything_looks_everywhere_and_is_told_whether_that_is_needed() {
        let mut reach = Reach::default();
        let began = Instant::now();
        assert!(!reach.look_everywhere());
        reach.looked(None, began, began + ms(300), None);
        assert!(!reach.look_everywhere(), "it was there already");
        reach.looked(None, began, began + ms(300), Some(PLACE));
        reach.looked(reach.at(began + ms(301)), began + ms(301), began + ms(302), None);
        assert!(reach.look_everywhere());
        assert_eq!(reach.at(began + ms(303)), None);
    }
}
