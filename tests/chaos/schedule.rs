//! The schedule of faults. It depends on a seed alone, so that a seed gives the same schedule
//! again.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Workers that run at the same time.
pub const WORKERS: usize = 3;

/// The pause between two faults, in milliseconds: some strike together, some alone.
const PAUSE_MS: std::ops::Range<u64> = 50..1_600;

/// Longer than a lease, which is 5 s.
const BEYOND_THE_LEASE_MS: std::ops::Range<u64> = 5_200..8_000;

/// Some shorter and some longer than the lock's time-out, which is 1 s, and the statement's, 2 s.
const A_WHILE_MS: std::ops::Range<u64> = 100..4_000;

/// A fault, and which worker it strikes if it strikes one.
#[derive(Clone, Debug)]
pub enum Fault {
    /// `kill -9`.
    Kill(usize),
    /// SIGSTOP, and SIGCONT when its lease is over.
    Suspend(usize, Duration),
    /// SIGTERM.
    Terminate(usize),
    /// It is killed, and the clock of the next one is this many seconds off.
    ShiftClock(usize, i64),
    /// All connections between the worker and the server are cut.
    Cut(usize),
    /// The network drops everything for a time, without an error.
    Silence(usize, Duration),
    /// Each packet takes longer.
    Slow(usize, Duration),
    /// `pg_terminate_backend` for every session of the workers.
    EndSessions,
    /// `pg_cancel_backend` for every session of the workers.
    CancelStatements,
    /// PostgreSQL restarts and ends all sessions at once.
    RestartFast,
    /// PostgreSQL crashes and recovers.
    RestartImmediate,
    /// A session locks a table.
    LockTable(&'static str, Duration),
    /// A session holds the lock of a user's vitals.
    LockUser(i64, Duration),
    /// Writing a figure takes longer than a statement may.
    SlowStatements(Duration),
    /// Writing a figure fails.
    FailingStatements(Duration),
    /// Writing a figure is a serialization failure.
    Conflicts(Duration),
}

impl Fault {
    /// Under this name it is counted.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill -9 of a worker",
            Self::Suspend(..) => "SIGSTOP beyond the lease, SIGCONT",
            Self::Terminate(_) => "SIGTERM of a worker",
            Self::ShiftClock(..) => "clock of a worker shifted",
            Self::Cut(_) => "network cut",
            Self::Silence(..) => "network silent",
            Self::Slow(..) => "network slowed",
            Self::EndSessions => "sessions terminated",
            Self::CancelStatements => "statements cancelled",
            Self::RestartFast => "PostgreSQL restarted, fast",
            Self::RestartImmediate => "PostgreSQL restarted, immediate",
            Self::LockTable(..) => "table locked",
            Self::LockUser(..) => "user locked",
            Self::SlowStatements(_) => "statements beyond their time-out",
            Self::FailingStatements(_) => "statements failing",
            Self::Conflicts(_) => "serialization failures",
        }
    }
}

/// Everything that happens in a round.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// A pause, and then a fault.
    pub faults: Vec<(Duration, Fault)>,
}

fn milliseconds(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn fault() -> impl Strategy<Value = Fault> {
    let worker = || 0..WORKERS;
    let a_while = || milliseconds(A_WHILE_MS);
    let of_workers = prop_oneof![
        4 => worker().prop_map(Fault::Kill),
        2 => (worker(), milliseconds(BEYOND_THE_LEASE_MS)).prop_map(|(w, t)| Fault::Suspend(w, t)),
        3 => worker().prop_map(Fault::Terminate),
        2 => (worker(), select(vec![-86_400, -3_600, -7, 7, 3_600, 40_000_000]))
            .prop_map(|(w, seconds)| Fault::ShiftClock(w, seconds)),
        3 => worker().prop_map(Fault::Cut),
        2 => (worker(), a_while()).prop_map(|(w, t)| Fault::Silence(w, t)),
        2 => (worker(), a_while()).prop_map(|(w, t)| Fault::Slow(w, t)),
    ];
    let tables = select(vec!["vitals_daily", "lab_daily", "nutrition_daily", "aggregation_queue"]);
    let of_the_server = prop_oneof![
        3 => Just(Fault::EndSessions),
        3 => Just(Fault::CancelStatements),
        1 => Just(Fault::RestartFast),
        1 => Just(Fault::RestartImmediate),
        2 => (tables, a_while()).prop_map(|(table, t)| Fault::LockTable(table, t)),
        2 => (1i64..=4, a_while()).prop_map(|(user, t)| Fault::LockUser(user, t)),
        2 => a_while().prop_map(Fault::SlowStatements),
        2 => a_while().prop_map(Fault::FailingStatements),
        2 => a_while().prop_map(Fault::Conflicts),
    ];
    prop_oneof![3 => of_workers, 2 => of_the_server]
}

/// A source of chance that a seed decides.
pub fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// The next value that a source of chance gives.
pub fn draw<S: Strategy>(runner: &mut TestRunner, strategy: &S) -> S::Value {
    strategy.new_tree(runner).unwrap().current()
}

impl Schedule {
    /// As many faults as there is time for.
    pub fn of(seed: u64, time: Duration) -> Self {
        let planned = vec((milliseconds(PAUSE_MS), fault()), 4_000);
        let mut faults = draw(&mut runner(seed), &planned);
        let mut left = time;
        faults.retain(|(pause, _)| {
            left = left.saturating_sub(*pause);
            !left.is_zero()
        });
        Self { faults }
    }
}
