//! The switch over and back of a health app while its API writes and its readers read. `just adopt-year` runs it for a
//! year of 1,000 users, and shows the times.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::{
    Generated, READERS, answers, app, assert_copies_agree, assert_views_agree, example, own_worker,
};
use crate::support::running::{Running, eventually};
use crate::support::{Database, Ran};

/// Days of which the API inserts the rows while the former ones are copied.
const LATER_DAYS: i32 = 10;

/// Days up to the last one that the readers ask for: 2026-02-04.
const LAST_DAY: i32 = 31;

/// The size of the test, unless `ADOPT_USERS`, `ADOPT_DAYS` and `ADOPT_THIN` say otherwise.
fn size() -> (u32, i32, u32) {
    let number =
        |name: &str, few: u32| std::env::var(name).map_or(few, |text| text.parse().unwrap());
    (
        number("ADOPT_USERS", 3),
        i32::try_from(number("ADOPT_DAYS", 31)).unwrap(),
        number("ADOPT_THIN", 1),
    )
}

/// Shows how long each step takes.
struct Steps(Instant);

impl Steps {
    fn done(&mut self, what: &str) {
        println!("{:8.1} s  {what}", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}

/// The rows that the API has inserted, less those that it has deleted, by table.
type Ledger = BTreeMap<&'static str, i64>;

/// The API and the readers at work.
struct Load {
    stop: Arc<AtomicBool>,
    writer: JoinHandle<(u32, Ledger)>,
    reader: JoinHandle<u32>,
}

impl Load {
    /// Starts with the statement of a number.
    async fn start(db: &Database, first: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn(write(db.connect().await, first, Arc::clone(&stop)));
        let reader = tokio::spawn(read(db.connect().await, Arc::clone(&stop)));
        Self { stop, writer, reader }
    }

    /// The number of statements and the ledger of the writer; shows how much was done.
    async fn end(self) -> (u32, Ledger) {
        self.stop.store(true, Ordering::Relaxed);
        let ((made, ledger), answered) = (self.writer.await.unwrap(), self.reader.await.unwrap());
        println!(
            "            meanwhile {made} statements of the API, {answered} answers to readers"
        );
        assert!(made > 10 && answered > 1, "{made} statements, {answered} answers");
        (made, ledger)
    }
}

/// The statement of a number: the API inserts, corrects and deletes rows of each kind.
fn statement(number: u32) -> (&'static str, i64, String) {
    let user = 1 + number % 3;
    let at = format!("timestamp '2026-01-20 00:00:30' + interval '{} minutes'", number % 1440);
    let day = format!("date '2026-01-08' + {}", number % 20);
    match number % 8 {
        0 => (
            "nutrition_raw_data",
            1,
            format!(
                "INSERT INTO nutrition_raw_data (user_id, food_item_name, meal_type, portion_size, portion_unit, calories,
                     meal_date, meal_time, data_source)
                 VALUES ({user}, 'apple', 'snack', 1, 'piece', 80, {day}, {day} + time '16:00', 'manual_entry')"
            ),
        ),
        1 => (
            "nutrition_raw_data",
            0,
            format!("UPDATE nutrition_raw_data SET calories = {} WHERE id = {number}", 100 + number % 400),
        ),
        2 => (
            "lab_report_categorized",
            1,
            format!(
                "INSERT INTO lab_report_categorized (user_id, test_name, test_code, test_category, test_value, test_unit,
                     reference_range, lab_name, test_date)
                 VALUES ({user}, 'Vitamin D', 'VIT', 'Vitamins', '{}', 'ng/mL', '30-100', 'City Lab', {day})",
                10.0 + f64::from(number) / 1000.0
            ),
        ),
        3 => (
            "vitals_raw_data",
            -1,
            format!(
                "DELETE FROM vitals_raw_data WHERE user_id = {user} AND metric_type = 'Steps' AND start_date::date = {day}
                   AND start_date::time < '12:00'"
            ),
        ),
        4 => (
            "vitals_raw_data",
            0,
            format!(
                "UPDATE vitals_raw_data SET value = {}, aggregation_status = 'pending'
                 WHERE user_id = {user} AND metric_type = 'Heart Rate' AND start_date::date = {day}",
                50 + number % 90
            ),
        ),
        _ => (
            "vitals_raw_data",
            1,
            format!(
                "INSERT INTO vitals_raw_data (user_id, metric_type, value, unit, start_date, end_date, data_source)
                 VALUES ({user}, 'Heart Rate', {}, 'bpm', {at}, {at}, 'apple_healthkit') ON CONFLICT DO NOTHING",
                50 + number % 90
            ),
        ),
    }
}

/// Writes until it is stopped; returns the number of statements, too. No statement may fail.
async fn write(client: Client, first: u32, stop: Arc<AtomicBool>) -> (u32, Ledger) {
    let (mut made, mut ledger) = (0, Ledger::new());
    while !stop.load(Ordering::Relaxed) {
        let (table, sign, sql) = statement(first + made);
        let rows = client.execute(&sql, &[]).await.unwrap_or_else(|why| panic!("{sql}: {why:?}"));
        *ledger.entry(table).or_default() += sign * i64::try_from(rows).unwrap();
        made += 1;
        // The machine is to be busy with the copy, too.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (made, ledger)
}

/// Asks for a chart until it is stopped. No answer may be an error, or empty.
async fn read(client: Client, stop: Arc<AtomicBool>) -> u32 {
    let mut answers = 0;
    while !stop.load(Ordering::Relaxed) {
        let rows = client.query(READERS[0], &[]).await.unwrap_or_else(|why| panic!("{why:?}"));
        assert!(!rows.is_empty());
        answers += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    answers
}

/// Watches the connections of the worker; returns the highest number.
async fn watch_connections(client: Client, stop: Arc<AtomicBool>) -> i64 {
    let mut peak = 0;
    while !stop.load(Ordering::Relaxed) {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name LIKE 'dayfold-worker@%'";
        peak = peak.max(client.query_one(sql, &[]).await.unwrap().get(0));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    peak
}

/// Waits until no row is due, however long that takes.
async fn computed(db: &Database, service: &mut Running) {
    // A count would read millions of rows each time.
    let due = "SELECT EXISTS (SELECT FROM aggregation_queue WHERE state <> 'dead')";
    while db.value(due).await {
        let ended = service.child.try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?}: {}", service.stderr.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(super::queued(db).await, 0);
}

async fn counts(db: &Database) -> Ledger {
    let mut counts = Ledger::new();
    for table in ["vitals_raw_data", "nutrition_raw_data", "lab_report_categorized"] {
        counts.insert(table, db.value(&format!("SELECT count(*) FROM {table}")).await);
    }
    counts
}

/// The worker under test, or the optimised build that `ADOPT_WORKER` names.
fn worker(db: &Database) -> Command {
    match std::env::var_os("ADOPT_WORKER") {
        None => db.worker(),
        Some(program) => {
            let mut command = Command::new(program);
            command.env_clear().env("DATABASE_URL", &db.url).env("PATH", "/usr/bin:/bin");
            command
        }
    }
}

/// Mirrors and copies the rows of the app while its API writes, and waits until the worker has computed all. Returns the
/// number of statements of the API.
async fn adopt(db: &Database, later: Generated, service: &mut Running, steps: &mut Steps) -> u32 {
    let load = Load::start(db, 0).await;
    db.execute(&example("mirror.sql")).await;
    db.execute("CALL dayfold_copy(5000)").await;
    steps.done("copied, while the worker computes");
    later.insert_into(db).await;
    steps.done(&format!("rows of {LATER_DAYS} further days, through the triggers"));
    let (made, _) = load.end().await;
    computed(db, service).await;
    steps.done("the worker has computed all rows");
    let (rows, sums) = assert_copies_agree(db).await;
    steps.done(&format!("compared {rows} rows: {sums}"));
    made
}

/// Compares tables and views, and the answers of both to the readers, while nothing is written.
async fn compare(db: &Database, steps: &mut Steps) {
    own_worker(db).await;
    db.execute("VACUUM ANALYZE").await;
    steps.done("the app's own worker, again");
    db.execute(&example("views.sql")).await;
    assert_views_agree(db, "dayfold_app", "public").await;
    steps.done("compared each row of the eleven aggregates");
    let of_tables = answers(db).await;
    steps.done("the readers' queries on the app's tables");
    db.execute(&example("switch.sql")).await;
    let of_views = answers(db).await;
    steps.done("the same queries on the views");
    assert_eq!(of_views, of_tables);
    db.execute(&example("back.sql")).await;
}

/// Switches over and back, twice, under load that begins with the statement of a number.
async fn switch_twice(db: &Database, first: u32) {
    let before = counts(db).await;
    let load = Load::start(db, first).await;
    for _ in 0..2 {
        for (file, kind) in [("switch.sql", "v"), ("back.sql", "r")] {
            db.execute(&example(file)).await;
            let now = "SELECT relkind::text FROM pg_class WHERE oid = 'vitals_daily_aggregates'::regclass";
            assert_eq!(db.value::<String>(now).await, kind);
            let meals: i64 = db.value("SELECT count(*) FROM nutrition_raw_data").await;
            let more = format!("SELECT least(3, count(*) - {meals}) FROM nutrition_raw_data");
            eventually(db, &more, 3).await;
        }
    }
    let (_, written) = load.end().await;
    for (table, now) in counts(db).await {
        assert_eq!(now, before[table] + written[table], "{table} has lost a row of the API");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_health_app_is_switched_over_and_back_under_load_and_nothing_is_lost() {
    let (users, days, thin) = size();
    let db = app().await;
    let mut steps = Steps(Instant::now());
    let part = |first_day, days| Generated { users, first_day, days, thin };
    part(LAST_DAY - days, days - LATER_DAYS).insert_into(&db).await;
    steps.done(&format!("{users} users and {days} days: {:?}", counts(&db).await));
    own_worker(&db).await;
    steps.done("the app's own worker");

    let stop = Arc::new(AtomicBool::new(false));
    let connections = tokio::spawn(watch_connections(db.connect().await, Arc::clone(&stop)));
    let mut run = worker(&db);
    run.arg("run").env("WORKER__BATCH__CONCURRENCY", "3");
    let mut service = Running::spawn(run);
    let later = part(LAST_DAY - LATER_DAYS, LATER_DAYS);
    let made = adopt(&db, later, &mut service, &mut steps).await;
    compare(&db, &mut steps).await;
    switch_twice(&db, made).await;
    computed(&db, &mut service).await;
    stop.store(true, Ordering::Relaxed);
    let connections = connections.await.unwrap();
    println!("            {connections} connections of the worker at the same time");
    assert!((1..=4).contains(&connections));
    service.stops();
    steps.done("switched over and back twice under load");

    // Nothing is lost on either side: the app's own worker and Dayfold agree about all rows.
    let pending: i64 =
        db.value("SELECT count(*) FROM vitals_raw_data WHERE aggregation_status = 'pending'").await;
    assert!(pending > 0, "rows that came meanwhile wait for the app's own worker");
    assert_copies_agree(&db).await;
    own_worker(&db).await;
    assert_views_agree(&db, "dayfold_app", "public").await;
    steps.done("compared all rows and aggregates again");
    let verified = Ran::of(worker(&db).arg("verify").output().unwrap());
    steps.done(&format!("verify: {}", verified.stdout.lines().last().unwrap_or_default()));
    assert_eq!(verified.code, 0, "{verified:?}");
    let size = "SELECT pg_size_pretty(pg_database_size(current_database()))";
    println!("            {} of disk", db.value::<String>(size).await);
}
