//! The promise: the figures are those of a computation from scratch, bit for bit. It holds for any
//! order of arrival, batch size and split into runs, and for any corrections and deletions.
//!
//! `PROPTEST_CASES=200 cargo test -p worker --test tests any_order::` tries 200 histories.

pub mod history;
mod rows;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::process::{Command, Stdio};

use proptest::test_runner::{Config, TestCaseError, TestRunner};

use self::history::{DEFAULT_ZONE, History, Ids, PROFILES, Run, history};
use crate::support::tables::{RAW, difference};
use crate::support::{Database, Ran};

/// As many as fit into half a minute of a debug build.
const DEFAULT_CASES: u32 = 16;

/// A case takes a second, so a failure is made smaller for a few minutes at most.
const MOST_SHRINKING: u32 = 250;

#[test]
fn every_history_of_raw_rows_ends_in_the_figures_of_its_last_state() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (lived, scratch) =
        runtime.block_on(async { (Database::new().await, Database::new().await) });
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let mut runner = TestRunner::new(Config {
        cases: cases.unwrap_or(DEFAULT_CASES),
        max_shrink_iters: MOST_SHRINKING,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome =
        runner.run(&history(), |history| runtime.block_on(check(&lived, &scratch, &history)));
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// Here ids differ, which the histories cannot show: the same facts, inserted in each order.
#[tokio::test]
async fn the_order_of_ids_leaves_no_trace_in_the_last_bits() {
    let db = Database::new().await;
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (user, order) in (1..).zip(orders) {
        db.execute(&format!(
            "INSERT INTO user_profiles VALUES ({user}, 'Europe/Berlin', '{{a,b,c}}')"
        ))
        .await;
        for index in order {
            // (0.1 + 0.2) + 0.3 is not 0.1 + (0.2 + 0.3).
            let tenths = ["0.1", "0.2", "0.3"][index];
            let source = ["a", "b", "c"][index];
            let at = "2024-05-01 12:00+02";
            db.execute(&format!(
                "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
                 VALUES ({user}, 'heart_rate', 60 + {tenths}, 'bpm', 'same', '{at}', '2024-05-01 12:0{index}+02'),
                        ({user}, 'heart_rate', 70 + {tenths}, 'bpm', '{source}', '{at}', '{at}'),
                        ({user}, 'blood_glucose', 70 + {tenths}, 'mg/dL', '{source}', '{at}', '{at}'),
                        ({user}, 'blood_pressure_systolic', 120 + {tenths}, 'mmHg', '{source}', '{at}', '{at}'),
                        ({user}, 'blood_pressure_diastolic', 70 + {tenths}, 'mmHg', '{source}', '{at}', '{at}'),
                        ({user}, 'active_energy', {tenths}, 'kcal', '{source}', '{at}', '{at}'),
                        ({user}, 'active_energy', {tenths}, 'kcal', 'a', '2024-05-01 12:{index}1+02',
                         '2024-05-01 12:{index}8+02'),
                        ({user}, 'sleep_core', {tenths}, 'min', '{source}', '2024-05-01 0{index}:00+02',
                         '2024-05-01 0{index}:50:00.1+02'),
                        ({user}, 'sleep_asleep', {tenths}, 'min', 'same', '2024-05-01 01:00+02',
                         '2024-05-01 0{index}:00+02');
                 INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal, fat_g)
                 VALUES ({user}, 'same', 'lunch', '{at}', 'same', {tenths}, 1 / (1 + {tenths}));
                 INSERT INTO lab_raw (user_id, test_name, value_text, status, collected_at, source)
                 VALUES ({user}, 'iron', '{tenths}', 'final', '{at}', 'same')"
            ))
            .await;
        }
    }
    drain(&db, 50).unwrap();
    for table in db.figure_tables().await.iter().filter(|table| *table != "rejected_rows") {
        let of_user = |user: usize| {
            let db = &db;
            async move {
                let rows = db.rows_as_text(table, &format!("user_id = {user}")).await;
                rows.iter()
                    .map(|row| row.replace(&format!("user_id={user} "), ""))
                    .collect::<Vec<_>>()
            }
        };
        let first = of_user(1).await;
        assert!(!first.is_empty(), "{table}");
        for user in 2..=orders.len() {
            if let Some(lines) = difference(&first, &of_user(user).await) {
                panic!("{table}, {:?}: {lines}", orders[user - 1]);
            }
        }
    }
}

async fn check(
    lived: &Database,
    scratch: &Database,
    history: &History,
) -> Result<(), TestCaseError> {
    lived.wipe().await;
    scratch.wipe().await;
    lived.execute(PROFILES).await;
    scratch.execute(PROFILES).await;

    live(lived, history).await?;
    for table in RAW {
        let mut rows = lived.raw_rows(table).await;
        rows.sort_by_cached_key(|row| {
            let mut hasher = DefaultHasher::new();
            (history.shuffle, row).hash(&mut hasher);
            hasher.finish()
        });
        scratch.insert_raw_rows(table, &rows).await;
    }
    drain(scratch, 200)?;

    let figures = lived.figures_as_text().await;
    same("lived (-) and from scratch (+)", &figures, &scratch.figures_as_text().await)?;
    // Verifying sees the same, and a backfill ends in it from nothing.
    succeeded(&Ran::of(zoned(lived).args(["verify", "--json"]).output().unwrap()))?;
    for table in scratch.figure_tables().await.iter().filter(|table| *table != "rejected_rows") {
        scratch.execute(&format!("DELETE FROM {table}")).await;
    }
    let whole = ["backfill", "--from", "0000-12-31", "--to", "9999-12-31"];
    succeeded(&Ran::of(zoned(scratch).args(whole).output().unwrap()))?;
    same("lived (-) and by backfill (+)", &figures, &scratch.figures_as_text().await)
}

fn same(what: &str, ours: &[String], theirs: &[String]) -> Result<(), TestCaseError> {
    match difference(ours, theirs) {
        None => Ok(()),
        Some(lines) => Err(TestCaseError::fail(format!("{what}: {lines}"))),
    }
}

/// Lets everything happen, and computes what is left to do.
async fn live(db: &Database, history: &History) -> Result<(), TestCaseError> {
    let mut ids = Ids::default();
    for phase in &history.phases {
        let edits: Vec<String> =
            phase.edits.iter().filter_map(|edit| edit.sql(&mut ids, history.beginning)).collect();
        let workers = phase.run.beside_edits.then(|| start(db, phase.run));
        for edit in &edits {
            db.execute(edit).await;
        }
        for worker in workers.unwrap_or_else(|| start(db, phase.run)) {
            succeeded(&Ran::of(worker.wait_with_output().unwrap()))?;
        }
    }
    drain(db, 50)?;
    let left: i64 = db.value("SELECT count(*) FROM aggregation_queue").await;
    if left > 0 {
        return Err(TestCaseError::fail(format!("{left} rows are left in the queue")));
    }
    Ok(())
}

fn zoned(db: &Database) -> Command {
    let mut command = db.worker();
    command.env("WORKER__AGGREGATION__DEFAULT_TIME_ZONE", DEFAULT_ZONE);
    command
}

fn worker(db: &Database, batch_size: u32) -> Command {
    let mut command = zoned(db);
    command.args(["run-once", "--json"]).env("WORKER__BATCH__SIZE", batch_size.to_string());
    command
}

fn start(db: &Database, run: Run) -> Vec<std::process::Child> {
    let one = |_| {
        let mut command = worker(db, run.batch_size);
        command.env("WORKER__BATCH__CONCURRENCY", run.at_once.to_string());
        if let Some(batches) = run.max_batches {
            command.args(["--max-batches", &batches.to_string()]);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    (0..run.workers).map(one).collect()
}

fn drain(db: &Database, batch_size: u32) -> Result<(), TestCaseError> {
    succeeded(&Ran::of(worker(db, batch_size).output().unwrap()))
}

fn succeeded(ran: &Ran) -> Result<(), TestCaseError> {
    if ran.code == 0 {
        return Ok(());
    }
    Err(TestCaseError::fail(format!("code {}: {}{}", ran.code, ran.stdout, ran.stderr)))
}
