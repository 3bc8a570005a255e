//! The rules of alerts.

/// A rule. The names are a contract, like those of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The pool's usage has exceeded its threshold for the configured time.
    PoolUsage,
    /// Requests for a connection time out.
    PoolExhausted,
    /// The circuit breaker is open: the database is unavailable or unsuitable.
    CircuitOpen,
    /// The oldest queued change has waited for longer than the freshness goal.
    OldestPending,
    /// Rows are dead after their last attempt.
    DeadRows,
    /// Too many groups fail.
    FailedGroups,
    /// No connection to the database can be made.
    DatabaseUnreachable,
    /// `worker verify` found figures that are not those of the raw rows.
    VerifyDrift,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 8] = [
        Self::PoolUsage,
        Self::PoolExhausted,
        Self::CircuitOpen,
        Self::OldestPending,
        Self::DeadRows,
        Self::FailedGroups,
        Self::DatabaseUnreachable,
        Self::VerifyDrift,
    ];

    /// The name in the configuration, in messages and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PoolUsage => "pool_usage",
            Self::PoolExhausted => "pool_exhausted",
            Self::CircuitOpen => "circuit_open",
            Self::OldestPending => "oldest_pending",
            Self::DeadRows => "dead_rows",
            Self::FailedGroups => "failed_groups",
            Self::DatabaseUnreachable => "database_unreachable",
            Self::VerifyDrift => "verify_drift",
        }
    }

    /// The rule of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// Whether it concerns the database that all workers share, rather than one worker.
    pub const fn is_of_database(self) -> bool {
        matches!(self, Self::OldestPending | Self::DeadRows | Self::VerifyDrift)
    }

    /// The unit of its amounts.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::PoolUsage | Self::FailedGroups => "percent",
            Self::DeadRows => "rows",
            Self::VerifyDrift => "dates",
            Self::PoolExhausted
            | Self::CircuitOpen
            | Self::OldestPending
            | Self::DatabaseUnreachable => "seconds",
        }
    }

    /// Whether its amount is the time for which its condition has held.
    pub const fn measures_duration(self) -> bool {
        matches!(self, Self::PoolExhausted | Self::CircuitOpen | Self::DatabaseUnreachable)
    }

    /// The state while it fires, as a sentence.
    pub const fn while_it_fires(self) -> &'static str {
        match self {
            Self::PoolUsage => "the worker's connection pool is nearly full",
            Self::PoolExhausted => "the worker's requests for a connection of its pool time out",
            Self::CircuitOpen => "circuit breaker open: the worker cannot use the database",
            Self::OldestPending => "the oldest change has waited longer than the freshness goal",
            Self::DeadRows => "rows are dead after their last attempt",
            Self::FailedGroups => "groups fail",
            Self::DatabaseUnreachable => "the worker cannot connect to the database",
            Self::VerifyDrift => "stored figures differ from the raw rows",
        }
    }

    /// The state once it has resolved, as a sentence.
    pub const fn when_it_is_over(self) -> &'static str {
        match self {
            Self::PoolUsage => "the worker's connection pool has free connections again",
            Self::PoolExhausted => "the worker's pool has a free connection again",
            Self::CircuitOpen => "circuit breaker closed: the worker uses the database again",
            Self::OldestPending => {
                "the oldest change has waited less than the freshness goal again"
            }
            Self::DeadRows => "dead rows are below the limit again",
            Self::FailedGroups => "groups succeed again",
            Self::DatabaseUnreachable => "the worker is connected to the database again",
            Self::VerifyDrift => "stored figures agree with the raw rows again",
        }
    }

    /// The recommended action.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::PoolUsage | Self::PoolExhausted => {
                "Look for slow_hold in the log, and for locks in pg_stat_activity."
            }
            Self::CircuitOpen | Self::DatabaseUnreachable => {
                "The log has the cause (database_unavailable), and `worker doctor` says what to \
                 change. Rows stay queued; the worker reconnects by itself."
            }
            Self::OldestPending => {
                "`worker status` shows the backlog and the last failures. Is the service running, is \
                 the database slow, or do more rows arrive than one worker computes?"
            }
            Self::DeadRows => {
                "`worker status` groups them by cause. Remove the cause, then run `worker requeue \
                 --dead`."
            }
            Self::FailedGroups => {
                "`worker status` groups the failures by cause, and the log names each group \
                 (group_failed)."
            }
            Self::VerifyDrift => {
                "`worker verify` lists the dates, `worker verify --repair` computes them again. Which \
                 program besides the worker writes figures?"
            }
        }
    }

    /// The section of the documentation about it.
    pub const fn runbook(self) -> &'static str {
        match self {
            Self::PoolUsage => "docs/operate.md#dayfoldpoolbusy",
            Self::PoolExhausted => "docs/operate.md#dayfoldpoolexhausted",
            Self::CircuitOpen => "docs/operate.md#dayfoldcircuitopen",
            Self::OldestPending => "docs/operate.md#dayfoldfiguresstale",
            Self::DeadRows => "docs/operate.md#dayfolddeadrows",
            Self::FailedGroups => "docs/operate.md#dayfoldgroupsfail",
            Self::DatabaseUnreachable => "docs/operate.md#dayfolddatabaseunreachable",
            Self::VerifyDrift => "docs/operate.md#figures-that-differ",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rule;

    #[test]
    fn each_rule_names_a_section_of_the_documentation_that_exists() {
        let operations = include_str!("../../../docs/operate.md");
        let anchor = |title: &str| title.to_lowercase().replace(' ', "-");
        let titles = operations.lines().filter(|line| line.starts_with('#'));
        let anchors: Vec<String> =
            titles.map(|line| anchor(line.trim_start_matches('#').trim())).collect();
        for rule in Rule::ALL {
            let (file, anchor) = rule.runbook().split_once('#').unwrap();
            assert_eq!(file, "docs/operate.md");
            assert!(anchors.iter().any(|known| known == anchor), "{anchor}: {anchors:?}");
        }
    }
}
