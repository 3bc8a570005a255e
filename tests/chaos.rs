//! Chaos: workers drain while an app writes, and faults of every kind happen at any moment.
//!
//! Afterwards the queue is empty, every change was taken off it exactly once, and every figure is that
//! of a computation from scratch, bit for bit. `just chaos` goes on for longer, and with other seeds;
//! a seed gives the same schedule of faults and the same edits of the app again. How they meet is up to
//! the machine.

mod app;
mod network;
mod schedule;
mod workers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use local_postgres::{Binaries, LocalPostgres, Shutdown};
use tokio::task::JoinSet;

use self::app::{App, connect};
use self::network::Network;
use self::schedule::{Fault, Schedule, WORKERS};
use self::workers::Worker;
use crate::any_order::history::{DEFAULT_ZONE, PROFILES};
use crate::faults::proof::remember;
use crate::service::QUEUED;
use crate::support::outside::Scratch;
use crate::support::tables::{RAW, difference};
use crate::support::{Database, Ran, worker_at};

/// How long a round of `cargo test` lasts, and the one round's seed.
const DEFAULT_SECONDS: u64 = 12;
const DEFAULT_SEED: u64 = 20_260_301;

/// After the last fault everything must be done by then.
const PATIENCE: Duration = Duration::from_secs(180);

/// So much of the logs is shown when something is wrong.
const MOST_LINES: usize = 200;

/// A session that strikes is given up after this time: the server may be away.
const STRIKING: Duration = Duration::from_secs(5);

/// Makes writing of figures slow, or fail, while the app says so.
const SWITCH: &str = "
    CREATE TABLE public.chaos (mode text NOT NULL);
    INSERT INTO public.chaos VALUES ('none');
    CREATE FUNCTION public.strike() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        CASE (SELECT mode FROM public.chaos)
            WHEN 'slow' THEN PERFORM pg_sleep(2.5);
            WHEN 'failing' THEN RAISE 'struck';
            WHEN 'conflict' THEN RAISE serialization_failure;
            ELSE NULL;
        END CASE;
        RETURN NULL;
    END $$;
    CREATE TRIGGER strike AFTER INSERT OR UPDATE ON vitals_daily
        FOR EACH STATEMENT EXECUTE FUNCTION public.strike();
    CREATE TRIGGER strike AFTER INSERT OR UPDATE ON nutrition_daily
        FOR EACH STATEMENT EXECUTE FUNCTION public.strike();
    CREATE TRIGGER strike AFTER INSERT OR UPDATE ON lab_daily
        FOR EACH STATEMENT EXECUTE FUNCTION public.strike();";

/// The names of the faults that happened.
type Struck = BTreeMap<&'static str, u32>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_at_any_moment_nothing_is_lost_or_done_twice_and_every_figure_is_right() {
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
    };
    let rounds = number("CHAOS_ROUNDS", 1);
    let time = Duration::from_secs(number("CHAOS_SECONDS", DEFAULT_SECONDS));
    let first = number("CHAOS_SEED", DEFAULT_SEED);
    let faketime = faketime();
    if faketime.is_none() {
        eprintln!("without libfaketime no clock is shifted (Debian: apt-get install faketime)");
    }
    let began = Instant::now();
    let (mut total, mut edits, mut rows) = (Struck::new(), 0, 0);
    for seed in first..first + rounds {
        let round = Round::begin(seed, faketime.clone()).await;
        let (struck, of_round, compared) = round.run(Schedule::of(seed, time)).await;
        let kinds: Vec<String> =
            struck.iter().map(|(name, times)| format!("{name} {times}")).collect();
        eprintln!(
            "seed {seed}: {} faults, {of_round} edits, {compared} rows of figures right ({})",
            struck.values().sum::<u32>(),
            kinds.join(", ")
        );
        edits += of_round;
        rows += compared;
        for (name, times) in struck {
            *total.entry(name).or_default() += times;
        }
    }
    eprintln!(
        "{} faults in {rounds} round(s) of {} s, {:.0} min in all; {edits} edits of the app; {rows} \
         rows of figures compared, none wrong",
        total.values().sum::<u32>(),
        time.as_secs(),
        began.elapsed().as_secs_f64() / 60.0
    );
    for (name, times) in &total {
        eprintln!("{times:>6}  {name}");
    }
    assert!(!total.is_empty(), "nothing struck");
}

/// The library that gives a process another clock, if this host has it.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    libraries.find(|library| library.exists())
}

/// A server, a database, workers behind networks, and an app.
struct Round {
    seed: u64,
    server: Arc<Mutex<LocalPostgres>>,
    db: Database,
    networks: Vec<Arc<Network>>,
    workers: Vec<Arc<Worker>>,
    apps: Vec<App>,
    struck: Arc<Mutex<Struck>>,
    /// The workers' logs.
    _logs: Scratch,
}

impl Round {
    async fn begin(seed: u64, faketime: Option<PathBuf>) -> Self {
        let binaries = Binaries::find_or_install(|line| eprintln!("{line}")).unwrap();
        let server = LocalPostgres::start(&binaries).unwrap();
        let url = server.url("postgres");
        assert!(worker_at(&url).arg("migrate").output().unwrap().status.success());
        let db = crate::support::database(&url).await;
        remember(&db).await;
        db.execute(SWITCH).await;
        db.execute(PROFILES).await;

        let logs = Scratch::new();
        let (mut networks, mut workers) = (Vec::new(), Vec::new());
        for number in 0..WORKERS {
            let socket = server.socket_directory().join(".s.PGSQL.5432");
            let network = Network::to(socket).await;
            let through = format!(
                "postgresql://postgres@127.0.0.1:{}/postgres?sslmode=disable",
                network.port
            );
            let log = logs.path().join(format!("worker-{number}.log"));
            workers.push(Arc::new(Worker::start(through, log, faketime.clone())));
            networks.push(Arc::new(network));
        }
        let apps = vec![App::start(url, seed)];
        let server = Arc::new(Mutex::new(server));
        let struck = Arc::default();
        Self { seed, server, db, networks, workers, apps, struck, _logs: logs }
    }

    /// Lets everything happen, and proves that nothing came of it. Returns what struck, how often the
    /// app wrote, and how many rows of figures were compared.
    async fn run(mut self, schedule: Schedule) -> (Struck, u32, usize) {
        let mut strikes = JoinSet::new();
        for (pause, fault) in schedule.faults {
            tokio::time::sleep(pause).await;
            let name = fault.name();
            let strike = self.strike(fault);
            let struck = Arc::clone(&self.struck);
            strikes.spawn(async move {
                if strike.await {
                    *struck.lock().unwrap().entry(name).or_default() += 1;
                }
            });
        }
        while let Some(struck) = strikes.join_next().await {
            struck.unwrap();
        }
        let mut edits = 0;
        for app in self.apps.drain(..) {
            edits += app.end().await;
        }
        self.db = crate::support::database(&self.db.url).await;
        self.db.execute("UPDATE public.chaos SET mode = 'none'").await;
        self.drained().await;
        let compared = self.prove().await;
        let struck = std::mem::take(&mut *self.struck.lock().unwrap());
        (struck, edits, compared)
    }

    /// Causes a fault. Returns whether it happened. It holds nothing of the round, as others strike
    /// beside it.
    fn strike(&self, fault: Fault) -> impl Future<Output = bool> + Send + use<> {
        let (networks, workers) = (self.networks.clone(), self.workers.clone());
        let (server, url) = (Arc::clone(&self.server), self.db.url.clone());
        async move {
            match fault {
                Fault::Kill(worker) => workers[worker].signal("KILL"),
                Fault::Terminate(worker) => workers[worker].signal("TERM"),
                Fault::Suspend(worker, time) => {
                    let suspended = workers[worker].signal("STOP");
                    tokio::time::sleep(time).await;
                    workers[worker].signal("CONT");
                    suspended
                }
                Fault::ShiftClock(worker, seconds) => {
                    workers[worker].shift_clock(seconds);
                    faketime().is_some() && workers[worker].signal("KILL")
                }
                Fault::Cut(worker) => {
                    networks[worker].cut();
                    true
                }
                Fault::Silence(worker, time) => {
                    networks[worker].be_silent(time).await;
                    true
                }
                Fault::Slow(worker, time) => {
                    networks[worker].be_slow(time).await;
                    true
                }
                Fault::EndSessions => sessions(&url, "pg_terminate_backend(pid)").await,
                Fault::CancelStatements => sessions(&url, "pg_cancel_backend(pid)").await,
                Fault::RestartFast => restart(server, Shutdown::Fast).await,
                Fault::RestartImmediate => restart(server, Shutdown::Immediate).await,
                Fault::LockTable(table, time) => {
                    let lock = format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
                    hold(&url, &lock, time).await
                }
                Fault::LockUser(user, time) => {
                    let lock = format!(
                        "SELECT pg_advisory_xact_lock(
                             hashtext('dayfold vitals ' || 'aggregation_queue'::regclass::oid),
                             hashint8({user}))"
                    );
                    hold(&url, &lock, time).await
                }
                Fault::SlowStatements(time) => switch(&url, "slow", time).await,
                Fault::FailingStatements(time) => switch(&url, "failing", time).await,
                Fault::Conflicts(time) => switch(&url, "conflict", time).await,
            }
        }
    }

    /// Waits until nothing is queued.
    async fn drained(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let left: i64 = self.db.value(QUEUED).await;
            if left == 0 {
                return;
            }
            if Instant::now() > until {
                let states = "SELECT string_agg(concat_ws(' ', kind, state, n, attempts), E'\n')
                              FROM (SELECT kind, state, max(attempts) AS attempts, sum(cardinality(raw_ids)) AS n
                                    FROM aggregation_queue GROUP BY kind, state) AS states";
                let states: String = self.db.value(states).await;
                panic!(
                    "seed {}: {left} rows are stuck:\n{states}\n{}",
                    self.seed,
                    self.last_told()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Each change was done once, and every figure is that of a computation from scratch.
    async fn prove(&mut self) -> usize {
        let seed = self.seed;
        let (told, last) = (self.told(), self.last_told());
        for worker in self.workers.drain(..) {
            let Ok(worker) = Arc::try_unwrap(worker) else { panic!("a fault still strikes") };
            let ends = worker.end();
            assert!(ends.is_empty(), "seed {seed}: {ends:?}\n{last}");
        }
        for untold in ["panicked", "rows_not_conserved"] {
            assert!(!told.contains(untold), "seed {seed}: {untold} in\n{last}");
        }
        let not_once = "SELECT count(*)
            FROM (SELECT count(*) FILTER (WHERE queued) AS queued,
                         count(*) FILTER (WHERE NOT queued) AS done
                  FROM memory GROUP BY change) AS changes
            WHERE (queued, done) <> (1, 1)";
        let not_once: i64 = self.db.value(not_once).await;
        assert_eq!(not_once, 0, "seed {seed}: changes not done exactly once\n{last}");

        let scratch = Database::new().await;
        for table in RAW.into_iter().chain(["user_profiles"]) {
            scratch.insert_raw_rows(table, &self.db.raw_rows(table).await).await;
        }
        run(&scratch.url, "run-once");
        let ours = self.db.figures_as_text().await;
        if let Some(wrong) = difference(&ours, &scratch.figures_as_text().await) {
            panic!("seed {seed}: lived (-) and from scratch (+): {wrong}\n{last}");
        }
        run(&self.db.url, "verify");
        ours.len()
    }

    /// The workers' logs.
    fn told(&self) -> String {
        let read = |worker: &Arc<Worker>| std::fs::read_to_string(&worker.log).unwrap_or_default();
        self.workers.iter().map(read).collect()
    }

    /// The ends of their logs.
    fn last_told(&self) -> String {
        let told = self.told();
        let lines: Vec<&str> = told.lines().filter(|line| !line.contains("DEBUG")).collect();
        lines[lines.len().saturating_sub(MOST_LINES)..].join("\n")
    }
}

fn run(url: &str, command: &str) {
    let mut worker = worker_at(url);
    worker.arg(command).env("WORKER__AGGREGATION__DEFAULT_TIME_ZONE", DEFAULT_ZONE);
    let ran = Ran::of(worker.output().unwrap());
    assert_eq!(ran.code, 0, "{command}: {}{}", ran.stdout, ran.stderr);
}

/// Does something to the workers' sessions.
async fn sessions(url: &str, what: &str) -> bool {
    let sql = format!(
        "SELECT count(*) FILTER (WHERE {what}) FROM pg_stat_activity
         WHERE application_name LIKE 'dayfold-worker@%'"
    );
    let asking = async { Some(connect(url).await?.query_one(&sql, &[]).await.ok()?.get(0)) };
    let struck: Option<i64> = tokio::time::timeout(STRIKING, asking).await.ok().flatten();
    struck.is_some_and(|sessions| sessions > 0)
}

/// Holds a lock for a time.
async fn hold(url: &str, lock: &str, time: Duration) -> bool {
    let Some(client) = connect(url).await else { return false };
    let lock = format!("BEGIN; {lock}");
    let locking = client.batch_execute(&lock);
    let locked = tokio::time::timeout(STRIKING, locking).await.is_ok_and(|done| done.is_ok());
    if locked {
        tokio::time::sleep(time).await;
    }
    locked
}

/// Sets the switch for a time.
async fn switch(url: &str, mode: &str, time: Duration) -> bool {
    let set = |mode: String| async move {
        let sql = format!("UPDATE public.chaos SET mode = '{mode}'");
        let setting = async {
            let client = connect(url).await?;
            client.batch_execute(&sql).await.ok()
        };
        tokio::time::timeout(STRIKING, setting).await.ok().flatten().is_some()
    };
    let struck = set(mode.to_owned()).await;
    tokio::time::sleep(time).await;
    set("none".to_owned()).await;
    struck
}

async fn restart(server: Arc<Mutex<LocalPostgres>>, how: Shutdown) -> bool {
    let restarting = tokio::task::spawn_blocking(move || {
        let mut server = server.lock().unwrap();
        server.stop(how).and_then(|()| server.start_again())
    });
    restarting.await.unwrap().is_ok()
}
