//! The alert rules that fire, as this worker sees it, for the page. They are watched with or without a channel, by
//! the same conditions as the messages. Nothing here sends a message or asks the database.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use alerts::condition::{Change, Condition, Limits};
use alerts::observation::{Groups, Observations};
use alerts::{Rule, Rules};

use super::{Service, lock};

/// The longest pause between two observations.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A rule that fires.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FiringRule {
    /// The rule.
    pub rule: Rule,
    /// For how long it has fired.
    pub lasted: Duration,
    /// The amount, in the unit of the rule.
    pub amount: f64,
    /// The condition holds from this amount on.
    pub threshold: f64,
}

/// The states of all rules.
struct Conditions {
    conditions: BTreeMap<&'static str, Condition>,
    groups: Groups,
}

impl Conditions {
    fn new(now: Instant) -> Self {
        Self { conditions: BTreeMap::new(), groups: Groups::new(now) }
    }

    /// Records the observations of `now`. Returns the rules that fire, without those that are off.
    fn observe(&mut self, now: Instant, rules: &Rules, seen: &Observations) -> Vec<FiringRule> {
        let fires = self.conditions.get(Rule::FailedGroups.name()).is_some_and(Condition::fires);
        let groups = self.groups.observe(now, seen, rules.threshold(Rule::FailedGroups), fires);
        let mut firing = Vec::new();
        for rule in Rule::ALL.into_iter().filter(|rule| !rules.off.contains(rule)) {
            let look = rules.observe(rule, seen, groups, now);
            // The cool-down limits messages, and no message is sent here.
            let limits = Limits { cooldown: Duration::ZERO, ..rules.limits(rule) };
            let condition = self.conditions.entry(rule.name()).or_default();
            condition.observe(now, look.holds, limits);
            if condition.fires() {
                let lasted = condition.lasted(now, Change::Resolves);
                let amount = look.amount.unwrap_or((lasted + limits.after).as_secs_f64());
                firing.push(FiringRule { rule, lasted, amount, threshold: look.threshold });
            }
        }
        firing
    }
}

impl Service {
    /// Observes the rules for ever.
    pub(super) async fn observe_rules(&self) -> Infallible {
        let mut conditions = Conditions::new(Instant::now());
        loop {
            let config = self.config();
            let firing = conditions.observe(Instant::now(), &config.alerts, &self.observations());
            *lock(&self.firing) = firing;
            tokio::time::sleep(config.service.observe.min(LONGEST_PAUSE)).await;
        }
    }

    /// The rules that fire, and whether messages about them are sent.
    pub fn firing_rules(&self) -> (Vec<FiringRule>, bool) {
        (lock(&self.firing).clone(), self.alerting.is_some())
    }
}

#[cfg(test)]
mod tests {
    use alerts::observation::Circuit;
    use store::QueueAge;

    use super::*;
    use crate::config::Config;

    fn observed(oldest_seconds: f64, dead: i64, now: Instant) -> Observations {
        let age = QueueAge { oldest_seconds, is_complete: true, dead };
        Observations {
            pool: None,
            circuit: Circuit::Closed,
            backlog: Some((age, now)),
            groups: (0, 0),
        }
    }

    #[test]
    fn a_rule_fires_while_its_condition_holds_and_again_at_once_when_it_comes_back() {
        let rules = Config::load(None, [("A", "b")], None).unwrap().config.alerts;
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut conditions = Conditions::new(start);
        let mut names = |seconds: u32, oldest, dead| {
            let now = start + second * seconds;
            let firing = conditions.observe(now, &rules, &observed(oldest, dead, now));
            let listed = firing.iter().map(|of| (of.rule.name(), of.lasted.as_secs(), of.amount));
            listed.collect::<Vec<_>>()
        };
        assert_eq!(names(0, 0.0, 0), []);
        assert_eq!(names(1, 1e6, 0), [("oldest_pending", 0, 1e6)]);
        assert_eq!(names(9, 1e6, 3), [("oldest_pending", 8, 1e6), ("dead_rows", 0, 3.0)]);
        assert_eq!(names(10, 0.0, 0), []);
        assert_eq!(names(11, 0.0, 3), [("dead_rows", 0, 3.0)]);
        let off = Rules { off: Rule::ALL.to_vec(), ..rules.clone() };
        let now = start + second * 12;
        assert_eq!(conditions.observe(now, &off, &observed(1e6, 3, now)), []);
    }
}
