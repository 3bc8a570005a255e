//! The rules: what people can be told of.

/// What there is to tell of. The names are a contract, as those of events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// So many connections of the pool are in use, and for so long.
    PoolUsage,
    /// Somebody waits for a connection in vain.
    PoolExhausted,
    /// The database is left alone: it is away, or not as it must be.
    CircuitOpen,
    /// The next change in turn has waited for longer than the freshness goal.
    OldestPending,
    /// Rows were given up after their last attempt.
    DeadRows,
    /// Too many groups fail.
    FailedGroups,
    /// No connection can be had.
    DatabaseUnreachable,
    /// `worker verify` found figures that are not those of the raw rows.
    VerifyDrift,
}

impl Rule {
    /// All of them.
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

    /// As in the configuration, in messages and in the database.
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

    /// Whether it concerns the database, which all its workers see, rather than one worker.
    pub const fn is_of_database(self) -> bool {
        matches!(self, Self::OldestPending | Self::DeadRows | Self::VerifyDrift)
    }

    /// In what its amounts are.
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

    /// What is so while it fires; the amount and the threshold stand behind it.
    pub const fn while_it_fires(self) -> &'static str {
        match self {
            Self::PoolUsage => "the worker's connections are nearly all in use",
            Self::PoolExhausted => "the worker waits in vain for a connection of its pool",
            Self::CircuitOpen => "the worker cannot work with the database and leaves it alone",
            Self::OldestPending => "figures are older than the freshness goal",
            Self::DeadRows => "changes were given up after their last attempt",
            Self::FailedGroups => "many groups fail",
            Self::DatabaseUnreachable => "the worker gets no connection to the database",
            Self::VerifyDrift => "figures are not those of the raw rows",
        }
    }

    /// What is so once it is over.
    pub const fn when_it_is_over(self) -> &'static str {
        match self {
            Self::PoolUsage => "the worker has free connections again",
            Self::PoolExhausted => "nobody waits in vain for a connection any more",
            Self::CircuitOpen => "the worker works with the database again",
            Self::OldestPending => "figures are as fresh as they should be again",
            Self::DeadRows => "no changes are given up any more",
            Self::FailedGroups => "groups succeed again",
            Self::DatabaseUnreachable => "the worker is connected to the database again",
            Self::VerifyDrift => "all figures are those of the raw rows again",
        }
    }

    /// What to do.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::PoolUsage | Self::PoolExhausted => {
                "Look for slow_hold in the log, and for locks in pg_stat_activity."
            }
            Self::CircuitOpen | Self::DatabaseUnreachable => {
                "The log says why (database_unavailable), and `worker doctor` what to change. Rows \
                 stay queued; the worker goes on by itself."
            }
            Self::OldestPending => {
                "`worker status` shows the backlog. Does the service run, is the database slow, or \
                 does more arrive than one worker works off?"
            }
            Self::DeadRows => {
                "`SELECT kind, last_error, count(*) FROM aggregation_queue WHERE state = 'dead' GROUP \
                 BY 1, 2` says why; after that `worker requeue --dead`."
            }
            Self::FailedGroups => "The log says of each why (group_failed).",
            Self::VerifyDrift => {
                "`worker verify` lists them, `worker verify --repair` computes them anew. Who else \
                 writes figures?"
            }
        }
    }
}
