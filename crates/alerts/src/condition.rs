//! The state of one rule: when it fires and when it resolves, as a function of observations and their times.
//!
//! A rule fires once its condition has held for long enough, and resolves at the first observation
//! that proves that the condition is over. A condition that comes and goes fires again only after its
//! cool-down. An observation without evidence changes nothing, and interrupts "long enough": an alert
//! never resolves because time passed.

use std::time::{Duration, Instant};

/// The times of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long the condition must hold before the rule fires.
    pub after: Duration,
    /// How long the rule does not fire again after it fired.
    pub cooldown: Duration,
}

/// A change of state that a message reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The rule fires.
    Fires,
    /// The rule resolves.
    Resolves,
}

/// The state of one rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Condition {
    held_since: Option<Instant>,
    fired_at: Option<Instant>,
    fires: bool,
}

impl Condition {
    /// Restores a state that is stored elsewhere: whether the rule fires, and when it fired last.
    pub fn known(fires: bool, fired_at: Option<Instant>) -> Self {
        Self { held_since: None, fired_at, fires }
    }

    /// Whether the rule fires.
    pub const fn fires(&self) -> bool {
        self.fires
    }

    /// How long the condition has held when it fires, or had fired when it resolves.
    pub fn lasted(&self, now: Instant, change: Change) -> Duration {
        let since = match change {
            Change::Fires => self.held_since,
            Change::Resolves => self.fired_at,
        };
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Records an observation at `now`: whether the condition holds, or `None` without evidence.
    pub fn observe(&mut self, now: Instant, holds: Option<bool>, limits: Limits) -> Option<Change> {
        if holds == Some(true) {
            self.held_since.get_or_insert(now);
        } else {
            self.held_since = None;
        }
        match holds {
            Some(true) if !self.fires => {
                let cool = self
                    .fired_at
                    .is_none_or(|fired| now.saturating_duration_since(fired) >= limits.cooldown);
                if !cool || self.lasted(now, Change::Fires) < limits.after {
                    return None;
                }
                self.fires = true;
                self.fired_at = Some(now);
                Some(Change::Fires)
            }
            Some(false) if self.fires => {
                self.fires = false;
                Some(Change::Resolves)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Observations, each some seconds after the previous one.
    fn looks() -> impl Strategy<Value = Vec<(u64, Option<bool>)>> {
        let shown = prop_oneof![
            4 => Just(Some(true)),
            3 => Just(Some(false)),
            1 => Just(None),
        ];
        prop::collection::vec((0_u64..40, shown), 0..80)
    }

    fn limits() -> impl Strategy<Value = Limits> {
        let seconds = |most| (0..most).prop_map(Duration::from_secs);
        (seconds(60_u64), seconds(120_u64)).prop_map(|(after, cooldown)| Limits { after, cooldown })
    }

    /// The changes, with their times and the numbers of their observations.
    fn told(looks: &[(u64, Option<bool>)], limits: Limits) -> Vec<(Duration, usize, Change)> {
        let start = Instant::now();
        let (mut now, mut condition, mut told) = (start, Condition::default(), Vec::new());
        for (number, (pause, holds)) in looks.iter().enumerate() {
            now += Duration::from_secs(*pause);
            if let Some(change) = condition.observe(now, *holds, limits) {
                told.push((now - start, number, change));
            }
        }
        told
    }

    fn times(looks: &[(u64, Option<bool>)]) -> Vec<Duration> {
        let mut now = 0;
        let time = |(pause, _): &(u64, Option<bool>)| {
            now += pause;
            Duration::from_secs(now)
        };
        looks.iter().map(time).collect()
    }

    proptest! {
        #[test]
        fn it_fires_and_resolves_in_turn_beginning_with_firing(looks in looks(), limits in limits()) {
            for (turn, (_, _, change)) in told(&looks, limits).iter().enumerate() {
                let expected = if turn % 2 == 0 { Change::Fires } else { Change::Resolves };
                prop_assert_eq!(*change, expected);
            }
        }

        #[test]
        fn it_fires_only_when_it_has_held_for_long_enough_without_a_break(
            looks in looks(), limits in limits()
        ) {
            let times = times(&looks);
            for (at, number, change) in told(&looks, limits) {
                if change == Change::Resolves {
                    prop_assert_eq!(looks[number].1, Some(false));
                    continue;
                }
                let first = looks[..number].iter().rposition(|look| look.1 != Some(true));
                let since = times[first.map_or(0, |before| before + 1)];
                prop_assert_eq!(looks[number].1, Some(true));
                prop_assert!(at - since >= limits.after);
            }
        }

        #[test]
        fn between_two_firings_lies_the_cool_down(looks in looks(), limits in limits()) {
            let told = told(&looks, limits);
            let fired: Vec<_> = told.iter().filter(|told| told.2 == Change::Fires).collect();
            for pair in fired.windows(2) {
                prop_assert!(pair[1].0 - pair[0].0 >= limits.cooldown);
            }
        }

        #[test]
        fn what_holds_on_fires_in_the_end_and_what_is_over_resolves(
            looks in looks(), limits in limits()
        ) {
            let lasting = |shown| vec![(10, Some(shown)); 20];
            let on = [looks.clone(), lasting(true)].concat();
            prop_assert_eq!(told(&on, limits).last().map(|told| told.2), Some(Change::Fires));
            let over = [looks, lasting(false)].concat();
            prop_assert_ne!(told(&over, limits).last().map(|told| told.2), Some(Change::Fires));
        }

        #[test]
        fn known_from_elsewhere_it_goes_on_as_it_would_have(
            before in looks(), behind in looks(), cooldown in 0_u64..120
        ) {
            // For rules that concern the database, each observation reads the state from there.
            let limits = Limits { after: Duration::ZERO, cooldown: Duration::from_secs(cooldown) };
            let (mut now, mut own) = (Instant::now(), Condition::default());
            for (pause, holds) in before.into_iter().chain(behind) {
                now += Duration::from_secs(pause);
                let mut known = Condition::known(own.fires, own.fired_at);
                prop_assert_eq!(known.observe(now, holds, limits), own.observe(now, holds, limits));
            }
        }
    }
}
