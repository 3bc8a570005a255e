//! Which claim looks where, of those that run at once.

use std::sync::atomic::{AtomicU32, Ordering};

/// Where the claims look that run at once, from one end of a kind's queue. Two that looked at the same rows
/// would share them in crumbs, so each passes over what those before it are about to take. The first place is
/// the first to be taken again, so nobody's rows are passed over for long.
#[derive(Debug, Default)]
pub struct Looks(AtomicU32);

/// The look of one claim, until it is dropped.
#[derive(Debug)]
pub struct Look<'l> {
    looks: &'l Looks,
    /// So many other batches' rows are passed over.
    pub place: u32,
}

impl Looks {
    /// Takes the first place that is free.
    pub fn begin(&self) -> Look<'_> {
        let taken = self.0.fetch_or(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Look { looks: self, place: taken.trailing_ones() }
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.looks.0.fetch_and(!(1 << self.place), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_takes_the_first_place_that_is_free() {
        let looks = Looks::default();
        let (first, second, third) = (looks.begin(), looks.begin(), looks.begin());
        assert_eq!([&first, &second, &third].map(|look| look.place), [0, 1, 2]);
        drop(first);
        assert_eq!(looks.begin().place, 0);
        let first = looks.begin();
        drop(second);
        drop(third);
        assert_eq!((first.place, looks.begin().place), (0, 1));
    }
}
