//! What the service has seen anyway, as amounts of the rules. Nothing is asked for here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use store::{PoolHealth, PoolStats};

use super::Rule;
use super::condition::Limits;
use crate::config::Alerts;

/// Over which time failed groups are counted: long enough that one odd batch is not half of it.
const GROUPS_WITHIN: Duration = Duration::from_secs(300);

/// Fewer failed groups than this are no rate.
const LEAST_FAILED_GROUPS: i64 = 3;

/// How the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// Not tried yet.
    Unknown,
    /// It is worked with.
    Closed,
    /// It is left alone, though it can be connected to.
    Open,
    /// It is left alone, as no connection can be had.
    Unreachable,
}

/// What was seen at one moment.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The pool; none without a database.
    pub pool: Option<PoolStats>,
    /// How the database is.
    pub circuit: Circuit,
    /// The age of the oldest change in seconds, dead rows, and when that was looked at; none if it
    /// could not be.
    pub backlog: Option<(f64, i64, Instant)>,
    /// Groups committed and failed since the start.
    pub groups: (i64, i64),
}

/// A rule's look at what was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Whether what it is about holds; none if there was nothing to be seen.
    pub holds: Option<bool>,
    /// What was seen, in the rule's unit; none where it is for how long it has held.
    pub amount: Option<f64>,
    /// From which amount on.
    pub threshold: f64,
    /// When that was.
    pub at: Instant,
}

/// The groups of the last minutes.
#[derive(Debug)]
pub struct Groups(VecDeque<(Instant, i64, i64)>);

impl Groups {
    /// None so far.
    pub fn new(now: Instant) -> Self {
        Self(VecDeque::from([(now, 0, 0)]))
    }

    /// How many failed of the last minutes, and in percent; 0 if there were none. `now` and the
    /// counts since the start never go back.
    pub fn failed(&mut self, now: Instant, (committed, failed): (i64, i64)) -> (i64, f64) {
        if self.0.back().is_none_or(|last| (last.1, last.2) != (committed, failed)) {
            self.0.push_back((now, committed, failed));
        }
        // The one before the window is what the window began with.
        while self.0.get(1).is_some_and(|second| now - second.0 >= GROUPS_WITHIN) {
            self.0.pop_front();
        }
        let (_, committed_before, failed_before) = self.0[0];
        let failed = failed - failed_before;
        let all = committed - committed_before + failed;
        let percent = if all == 0 { 0.0 } else { failed as f64 * 100.0 / all as f64 };
        (failed, percent)
    }
}

impl Alerts {
    /// What a rule allows.
    pub fn limits(&self, rule: Rule) -> Limits {
        let after = match rule {
            Rule::PoolUsage => self.pool_usage_after,
            Rule::PoolExhausted => self.pool_exhausted_after,
            Rule::CircuitOpen => self.circuit_open_after,
            Rule::DatabaseUnreachable => self.database_unreachable_after,
            Rule::OldestPending | Rule::DeadRows | Rule::FailedGroups | Rule::VerifyDrift => {
                Duration::ZERO
            }
        };
        Limits { after, cooldown: self.cooldowns[rule as usize] }
    }

    /// From which amount on a rule holds, in its unit.
    pub fn threshold(&self, rule: Rule) -> f64 {
        match rule {
            Rule::PoolUsage => self.pool_usage_percent,
            Rule::OldestPending => self.oldest_pending,
            Rule::DeadRows => self.dead_rows as f64,
            Rule::FailedGroups => self.failed_groups_percent,
            Rule::VerifyDrift => self.verify_drift_dates as f64,
            Rule::PoolExhausted | Rule::CircuitOpen | Rule::DatabaseUnreachable => {
                self.limits(rule).after.as_secs_f64()
            }
        }
    }

    /// What a rule makes of what was seen at `now`; `failed` is of [`Groups::failed`].
    pub fn look(&self, rule: Rule, seen: &Seen, failed: (i64, f64), now: Instant) -> Look {
        let threshold = self.threshold(rule);
        let look = |holds, amount| Look { holds, amount, threshold, at: now };
        let of_backlog = |amount: fn(f64, i64) -> f64| match seen.backlog {
            Some((oldest, dead, at)) => {
                let amount = amount(oldest, dead);
                Look { holds: Some(amount >= threshold), amount: Some(amount), threshold, at }
            }
            None => look(None, None),
        };
        match rule {
            Rule::PoolUsage => {
                let percent = seen.pool.map(|pool| pool.utilisation);
                look(percent.map(|percent| percent >= threshold), percent)
            }
            Rule::PoolExhausted => {
                look(seen.pool.map(|pool| pool.health == PoolHealth::Exhausted), None)
            }
            Rule::CircuitOpen => look(
                match seen.circuit {
                    Circuit::Unknown => None,
                    Circuit::Closed => Some(false),
                    Circuit::Open | Circuit::Unreachable => Some(true),
                },
                None,
            ),
            Rule::DatabaseUnreachable => look(
                match seen.circuit {
                    Circuit::Unknown => None,
                    Circuit::Closed | Circuit::Open => Some(false),
                    Circuit::Unreachable => Some(true),
                },
                None,
            ),
            Rule::FailedGroups => {
                let (groups, percent) = failed;
                let holds = groups >= LEAST_FAILED_GROUPS && percent >= threshold;
                look(Some(holds), Some(percent))
            }
            Rule::OldestPending => of_backlog(|oldest, _| oldest),
            Rule::DeadRows => of_backlog(|_, dead| dead as f64),
            // Only `worker verify` sees it.
            Rule::VerifyDrift => look(None, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;

    fn alerts() -> Alerts {
        Config::load(None, [("PATH", "/bin")], None).unwrap().config.alerts
    }

    fn calm() -> Seen {
        Seen { pool: None, circuit: Circuit::Closed, backlog: None, groups: (0, 0) }
    }

    fn pool(utilisation: f64, health: PoolHealth) -> PoolStats {
        PoolStats { in_use: 0, idle: 0, open: 0, max: 4, waiting: 0, utilisation, health }
    }

    fn holds(rule: Rule, seen: &Seen, failed: (i64, f64)) -> Option<bool> {
        alerts().look(rule, seen, failed, Instant::now()).holds
    }

    #[test]
    fn each_rule_holds_from_its_threshold_on() {
        let (none, now) = ((0, 0.0), Instant::now());
        let with_pool = |percent, health| Seen { pool: Some(pool(percent, health)), ..calm() };
        let with_backlog = |oldest, dead| Seen { backlog: Some((oldest, dead, now)), ..calm() };
        let with_circuit = |circuit| Seen { circuit, ..calm() };
        let healthy = PoolHealth::Healthy;
        for (rule, seen, failed, expected) in [
            (Rule::PoolUsage, with_pool(79.9, healthy), none, Some(false)),
            (Rule::PoolUsage, with_pool(80.0, healthy), none, Some(true)),
            // Without a pool nobody knows; that is no free connection.
            (Rule::PoolUsage, calm(), none, None),
            (Rule::PoolExhausted, calm(), none, None),
            (Rule::PoolExhausted, with_pool(100.0, PoolHealth::Critical), none, Some(false)),
            (Rule::PoolExhausted, with_pool(0.0, PoolHealth::Exhausted), none, Some(true)),
            (Rule::CircuitOpen, with_circuit(Circuit::Unknown), none, None),
            (Rule::CircuitOpen, with_circuit(Circuit::Closed), none, Some(false)),
            (Rule::CircuitOpen, with_circuit(Circuit::Open), none, Some(true)),
            (Rule::CircuitOpen, with_circuit(Circuit::Unreachable), none, Some(true)),
            (Rule::DatabaseUnreachable, with_circuit(Circuit::Unknown), none, None),
            (Rule::DatabaseUnreachable, with_circuit(Circuit::Open), none, Some(false)),
            (Rule::DatabaseUnreachable, with_circuit(Circuit::Unreachable), none, Some(true)),
            (Rule::OldestPending, calm(), none, None),
            (Rule::OldestPending, with_backlog(299.9, 9), none, Some(false)),
            (Rule::OldestPending, with_backlog(300.0, 0), none, Some(true)),
            (Rule::DeadRows, calm(), none, None),
            (Rule::DeadRows, with_backlog(900.0, 0), none, Some(false)),
            (Rule::DeadRows, with_backlog(0.0, 1), none, Some(true)),
            (Rule::FailedGroups, calm(), (2, 100.0), Some(false)),
            (Rule::FailedGroups, calm(), (3, 9.9), Some(false)),
            (Rule::FailedGroups, calm(), (3, 10.0), Some(true)),
            (Rule::VerifyDrift, calm(), none, None),
        ] {
            assert_eq!(holds(rule, &seen, failed), expected, "{rule:?} {seen:?} {failed:?}");
        }
    }

    proptest! {
        #[test]
        fn failed_groups_are_those_of_the_last_minutes(
            steps in prop::collection::vec((0_u64..200, 0_i64..20, 0_i64..20), 1..40)
        ) {
            let start = Instant::now();
            let mut groups = Groups::new(start);
            let (mut now, mut counts) = (start, (0, 0));
            let mut all = vec![(start, (0, 0))];
            for (pause, committed, failed) in steps {
                now += Duration::from_secs(pause);
                counts = (counts.0 + committed, counts.1 + failed);
                all.push((now, counts));
                let (shown, percent) = groups.failed(now, counts);
                // All that was counted after the last look that lies outside.
                let outside = all.iter().rev().find(|step| now - step.0 >= GROUPS_WITHIN);
                let before = outside.unwrap_or(&all[0]).1;
                prop_assert_eq!(shown, counts.1 - before.1);
                let both = counts.0 + counts.1 - before.0 - before.1;
                let expected = if both == 0 { 0.0 } else { shown as f64 * 100.0 / both as f64 };
                prop_assert_eq!(percent, expected);
            }
        }
    }
}
