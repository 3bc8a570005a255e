//! The observations of the service in the units of the rules. Nothing here asks the database.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use store::{PoolHealth, PoolStats, QueueAge};

use crate::condition::Limits;
use crate::{Rule, Rules};

/// The window in which failed groups are counted, long enough that one unusual batch is not half of it.
const GROUPS_WITHIN: Duration = Duration::from_secs(300);

/// The smallest number of failed groups that counts as a rate.
const LEAST_FAILED_GROUPS: i64 = 3;

/// The state of the circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// The service has not tried to connect yet.
    Unknown,
    /// The service works with the database.
    Closed,
    /// The service does not work with the database, though it can connect.
    Open,
    /// No connection can be made.
    Unreachable,
}

/// The observations of one moment.
#[derive(Clone, Debug)]
pub struct Observations {
    /// The pool; `None` without a database.
    pub pool: Option<PoolStats>,
    /// The state of the circuit breaker.
    pub circuit: Circuit,
    /// The age of the queue, and when it was read; `None` if the database could not be read.
    pub backlog: Option<(QueueAge, Instant)>,
    /// Groups committed and failed since the start.
    pub groups: (i64, i64),
}

/// The observations from the view of one rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RuleObservation {
    /// Whether its condition holds; `None` without evidence.
    pub holds: Option<bool>,
    /// The amount in the unit of the rule; `None` if the amount is the time for which the condition has held.
    pub amount: Option<f64>,
    /// The condition holds from this amount on.
    pub threshold: f64,
    /// The time of the observation.
    pub at: Instant,
}

/// Counts of groups over `GROUPS_WITHIN`.
#[derive(Debug)]
pub struct Groups {
    /// Times, with the groups committed and failed since the start.
    steps: VecDeque<(Instant, i64, i64)>,
    /// Groups committed when the condition held last.
    committed_when_held: i64,
    /// Dead rows before the failures began.
    dead_before: Option<i64>,
}

/// The rate of failed groups.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailedGroups {
    /// Whether too many failed; `None` without evidence.
    pub holds: Option<bool>,
    /// Failed groups in percent; 0 if there were no groups.
    pub percent: f64,
}

impl Groups {
    /// Starts without any group.
    pub fn new(now: Instant) -> Self {
        let steps = VecDeque::from([(now, 0, 0)]);
        Self { steps, committed_when_held: 0, dead_before: None }
    }

    /// The failed groups in the window, as a number and in percent. `now` and the counts since the start never
    /// decrease.
    fn failed(&mut self, now: Instant, (committed, failed): (i64, i64)) -> (i64, f64) {
        if self.steps.back().is_none_or(|last| (last.1, last.2) != (committed, failed)) {
            self.steps.push_back((now, committed, failed));
        }
        // The last step before the window has the counts at its beginning.
        while self.steps.get(1).is_some_and(|second| now - second.0 >= GROUPS_WITHIN) {
            self.steps.pop_front();
        }
        let (_, committed_before, failed_before) = self.steps[0];
        let failed = failed - failed_before;
        let all = committed - committed_before + failed;
        let percent = if all == 0 { 0.0 } else { failed as f64 * 100.0 / all as f64 };
        (failed, percent)
    }

    /// Whether too many groups fail. The condition ends only when a group has been committed since
    /// and no row died. A window without failures may be a window without work, and dead rows are
    /// not in the figures. `fires` is the state of the rule.
    pub fn observe(
        &mut self,
        now: Instant,
        seen: &Observations,
        threshold: f64,
        fires: bool,
    ) -> FailedGroups {
        let (failed, percent) = self.failed(now, seen.groups);
        let dead = seen.backlog.map(|(age, _)| age.dead);
        if failed == 0 && !fires && dead.is_some() {
            self.dead_before = dead;
        }
        if failed >= LEAST_FAILED_GROUPS && percent >= threshold {
            self.committed_when_held = seen.groups.0;
            return FailedGroups { holds: Some(true), percent };
        }
        let succeeded = seen.groups.0 > self.committed_when_held;
        let died = match (dead, self.dead_before) {
            (Some(dead), Some(before)) => dead > before,
            (Some(dead), None) => dead > 0,
            (None, _) => true,
        };
        FailedGroups { holds: (succeeded && !died).then_some(false), percent }
    }
}

impl Rules {
    /// The times of a rule.
    pub fn limits(&self, rule: Rule) -> Limits {
        let (after, cooldown) = match rule {
            Rule::PoolUsage => (self.pool_usage_after, self.pool_usage_cooldown),
            Rule::PoolExhausted => (self.pool_exhausted_after, self.pool_exhausted_cooldown),
            Rule::CircuitOpen => (self.circuit_open_after, self.circuit_open_cooldown),
            Rule::OldestPending => (Duration::ZERO, self.oldest_pending_cooldown),
            Rule::DeadRows => (Duration::ZERO, self.dead_rows_cooldown),
            Rule::FailedGroups => (Duration::ZERO, self.failed_groups_cooldown),
            Rule::DatabaseUnreachable => {
                (self.database_unreachable_after, self.database_unreachable_cooldown)
            }
            Rule::VerifyDrift => (Duration::ZERO, self.verify_drift_cooldown),
        };
        Limits { after, cooldown }
    }

    /// The threshold of a rule, in its unit.
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

    /// The observations of `now` from the view of one rule.
    pub fn observe(
        &self,
        rule: Rule,
        seen: &Observations,
        groups: FailedGroups,
        now: Instant,
    ) -> RuleObservation {
        let threshold = self.threshold(rule);
        let look = |holds, amount| RuleObservation { holds, amount, threshold, at: now };
        // A part of the queue proves that a change is old, but not that none is.
        let of_backlog = |amount: fn(QueueAge) -> f64, is_part: fn(QueueAge) -> bool| {
            let Some((age, at)) = seen.backlog else { return look(None, None) };
            let amount = amount(age);
            let holds = Some(amount >= threshold).filter(|holds| *holds || !is_part(age));
            RuleObservation { holds, amount: Some(amount), threshold, at }
        };
        match rule {
            Rule::PoolUsage => {
                let percent = seen.pool.map(|pool| pool.utilisation);
                look(percent.map(|percent| percent >= threshold), percent)
            }
            // Only an idle connection proves that the pool is no longer exhausted; time since the
            // last wait does not.
            Rule::PoolExhausted => look(
                seen.pool.and_then(|pool| match pool.health {
                    PoolHealth::Exhausted => Some(true),
                    _ => (pool.idle > 0).then_some(false),
                }),
                None,
            ),
            // The rule database_unreachable covers a database that cannot be reached.
            Rule::CircuitOpen => look(
                match seen.circuit {
                    Circuit::Unknown => None,
                    Circuit::Closed => Some(false),
                    Circuit::Open => Some(true),
                    Circuit::Unreachable => {
                        self.off.contains(&Rule::DatabaseUnreachable).then_some(true)
                    }
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
            Rule::FailedGroups => look(groups.holds, Some(groups.percent)),
            Rule::OldestPending => of_backlog(|age| age.oldest_seconds, |age| !age.is_complete),
            Rule::DeadRows => of_backlog(|age| age.dead as f64, |_| false),
            // Only `worker verify` observes it.
            Rule::VerifyDrift => look(None, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules() -> Rules {
        let defaults: toml::Table =
            toml::from_str(include_str!("../../../config/default.toml")).unwrap();
        defaults["alerts"].clone().try_into().unwrap()
    }

    fn calm() -> Observations {
        Observations { pool: None, circuit: Circuit::Closed, backlog: None, groups: (0, 0) }
    }

    const fn age(oldest_seconds: f64, dead: i64) -> QueueAge {
        QueueAge { oldest_seconds, is_complete: true, dead }
    }

    fn pool(utilisation: f64, health: PoolHealth) -> PoolStats {
        PoolStats { in_use: 0, idle: 0, open: 0, max: 4, waiting: 0, utilisation, health }
    }

    #[test]
    fn each_rule_holds_from_its_threshold_on() {
        let now = Instant::now();
        let with_pool =
            |percent, health| Observations { pool: Some(pool(percent, health)), ..calm() };
        let with_backlog =
            |oldest, dead| Observations { backlog: Some((age(oldest, dead), now)), ..calm() };
        let with_part = |oldest| Observations {
            backlog: Some((QueueAge { is_complete: false, ..age(oldest, 0) }, now)),
            ..calm()
        };
        let with_circuit = |circuit| Observations { circuit, ..calm() };
        let with_idle = PoolStats { idle: 1, ..pool(0.0, PoolHealth::Healthy) };
        let healthy = PoolHealth::Healthy;
        for (rule, seen, expected) in [
            (Rule::PoolUsage, with_pool(79.9, healthy), Some(false)),
            (Rule::PoolUsage, with_pool(80.0, healthy), Some(true)),
            // Without a pool there is no evidence, and no free connection.
            (Rule::PoolUsage, calm(), None),
            (Rule::PoolExhausted, calm(), None),
            // Half a minute without a timed-out wait does not prove a free connection.
            (Rule::PoolExhausted, with_pool(100.0, PoolHealth::Critical), None),
            (Rule::PoolExhausted, Observations { pool: Some(with_idle), ..calm() }, Some(false)),
            (Rule::PoolExhausted, with_pool(0.0, PoolHealth::Exhausted), Some(true)),
            (Rule::CircuitOpen, with_circuit(Circuit::Unknown), None),
            (Rule::CircuitOpen, with_circuit(Circuit::Closed), Some(false)),
            (Rule::CircuitOpen, with_circuit(Circuit::Open), Some(true)),
            (Rule::CircuitOpen, with_circuit(Circuit::Unreachable), None),
            (Rule::DatabaseUnreachable, with_circuit(Circuit::Unknown), None),
            (Rule::DatabaseUnreachable, with_circuit(Circuit::Open), Some(false)),
            (Rule::DatabaseUnreachable, with_circuit(Circuit::Unreachable), Some(true)),
            (Rule::OldestPending, calm(), None),
            (Rule::OldestPending, with_backlog(299.9, 9), Some(false)),
            (Rule::OldestPending, with_backlog(300.0, 0), Some(true)),
            (Rule::OldestPending, with_part(299.9), None),
            (Rule::OldestPending, with_part(300.0), Some(true)),
            (Rule::DeadRows, calm(), None),
            (Rule::DeadRows, with_backlog(900.0, 0), Some(false)),
            (Rule::DeadRows, with_backlog(0.0, 1), Some(true)),
            (Rule::VerifyDrift, calm(), None),
        ] {
            let groups = FailedGroups { holds: None, percent: 0.0 };
            let look = rules().observe(rule, &seen, groups, now);
            assert_eq!(look.holds, expected, "{rule:?} {seen:?}");
        }
        let off = Rules { off: vec![Rule::DatabaseUnreachable], ..rules() };
        let groups = FailedGroups { holds: None, percent: 0.0 };
        let look = off.observe(Rule::CircuitOpen, &with_circuit(Circuit::Unreachable), groups, now);
        assert_eq!(look.holds, Some(true));
    }

    /// Observations of groups, each a second after the previous one: committed and failed since the
    /// start, and dead rows.
    fn holds(looks: &[(i64, i64, i64)], pause: u64) -> Vec<Option<bool>> {
        let mut now = Instant::now();
        let (mut groups, mut fires) = (Groups::new(now), false);
        let look = |(committed, failed, dead): &(i64, i64, i64)| {
            now += Duration::from_secs(pause);
            let backlog = Some((age(0.0, *dead), now));
            let seen = Observations { backlog, groups: (*committed, *failed), ..calm() };
            let holds = groups.observe(now, &seen, 10.0, fires).holds;
            fires = holds.unwrap_or(fires);
            holds
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn groups_fail_from_three_of_ten_percent_on_and_succeed_again_when_one_is_committed() {
        assert_eq!(holds(&[(0, 2, 0)], 1), [None]);
        assert_eq!(holds(&[(28, 3, 0), (27, 3, 0)], 1), [Some(false), Some(true)]);
        let again = [(0, 4, 0), (1, 4, 0), (100, 4, 0)];
        assert_eq!(holds(&again, 1), [Some(true), Some(true), Some(false)]);
    }

    #[test]
    fn groups_that_failed_are_not_called_well_because_nothing_ran_since() {
        let idle = [(5, 4, 0), (5, 4, 0), (5, 4, 0), (6, 4, 0)];
        assert_eq!(holds(&idle, 400), [Some(true), None, None, Some(false)]);
    }

    #[test]
    fn groups_that_failed_are_not_called_well_while_their_rows_are_dead() {
        // Three rows were dead before; another rule reports them.
        let died = [(9, 0, 3), (9, 4, 3), (9, 4, 7), (50, 4, 7), (60, 4, 3)];
        let expected = [Some(false), Some(true), None, None, Some(false)];
        assert_eq!(holds(&died, 400), expected);
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
                // The counts of the last observation outside the window.
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
