//! How far back the queue is looked through.
//!
//! What is due is found by its time, oldest first, and so each look passes all that was taken off the
//! queue since the last vacuum. Mostly that is little, and a look takes a millisecond. But while anybody
//! keeps a transaction open, a vacuum takes nothing away: after minutes each look would pass a million
//! dead rows. So a look from the beginning that took long is not repeated before a multiple of that
//! time, and those between begin where the oldest due row stood.

use std::time::{Duration, Instant};

/// A look that takes longer passes more than it finds.
const LONG: Duration = Duration::from_millis(50);

/// After a long look, so many times its time is spent otherwise.
const REST: u32 = 10;

/// The least that is looked through. A transaction of an app that takes longer than that from its first
/// row to its COMMIT may have its rows found by the next look from the beginning only.
const LEAST: Duration = Duration::from_secs(10);

/// How far back one question looks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach {
    /// Until when it does not look from the beginning.
    rests_until: Option<Instant>,
    /// When the oldest due row that was found had waited for so long.
    oldest: Option<(Instant, Duration)>,
    /// Whether the last look began elsewhere than at the beginning.
    was_short: bool,
}

impl Reach {
    /// For how long a row may have waited to be found now; `None` if that does not matter.
    pub(crate) fn at(&self, now: Instant) -> Option<Duration> {
        self.rests_until.filter(|until| now < *until)?;
        let oldest = self.oldest.map(|(then, waited)| waited + now.saturating_duration_since(then));
        Some(oldest.map_or(LEAST, |oldest| oldest.max(LEAST)))
    }

    /// What a look has found: the longest that a row of it had waited.
    pub(crate) fn looked(
        &mut self,
        reach: Option<Duration>,
        began: Instant,
        ended: Instant,
        oldest: Option<Duration>,
    ) {
        self.was_short = reach.is_some();
        let took = ended.saturating_duration_since(began);
        if reach.is_none() {
            self.rests_until = (took > LONG).then(|| ended + took * REST);
        }
        if reach.is_none() || oldest.is_some() {
            self.oldest = oldest.map(|oldest| (began, oldest));
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

    #[test]
    fn as_long_as_looks_are_quick_each_begins_at_the_beginning() {
        let mut reach = Reach::default();
        let began = Instant::now();
        assert_eq!(reach.at(began), None);
        reach.looked(None, began, began + ms(50), Some(ms(3_600_000)));
        assert_eq!(reach.at(began + ms(51)), None);
    }

    #[test]
    fn after_a_long_look_the_next_ones_begin_where_the_oldest_due_row_stood() {
        let mut reach = Reach::default();
        let began = Instant::now();
        let ended = began + ms(300);
        reach.looked(None, began, ended, Some(ms(60_000)));

        let a_second_later = reach.at(ended + ms(1000));
        assert_eq!(a_second_later, Some(ms(60_000 + 1300)), "the row has gone on waiting");
        reach.looked(a_second_later, ended + ms(1000), ended + ms(1100), Some(ms(30_000)));
        assert_eq!(reach.at(ended + ms(2000)), Some(ms(31_000)), "nothing older was found");
        let rested = ended + ms(300) * REST;
        assert!(reach.at(rested - ms(1)).is_some());
        assert_eq!(reach.at(rested), None);
    }

    #[test]
    fn after_a_long_look_that_found_nothing_only_what_is_new_is_looked_at() {
        let mut reach = Reach::default();
        let began = Instant::now();
        reach.looked(None, began, began + ms(300), None);
        assert_eq!(reach.at(began + ms(400)), Some(LEAST));
        reach.looked(Some(LEAST), began + ms(400), began + ms(401), None);
        assert_eq!(reach.at(began + ms(500)), Some(LEAST));
    }

    #[test]
    fn who_must_not_miss_anything_looks_everywhere_and_is_told_whether_that_is_needed() {
        let mut reach = Reach::default();
        let began = Instant::now();
        assert!(!reach.look_everywhere());
        reach.looked(None, began, began + ms(300), None);
        assert!(!reach.look_everywhere(), "it was there already");
        reach.looked(None, began, began + ms(300), Some(ms(20_000)));
        reach.looked(reach.at(began + ms(301)), began + ms(301), began + ms(302), None);
        assert!(reach.look_everywhere());
        assert_eq!(reach.at(began + ms(303)), None);
    }
}
