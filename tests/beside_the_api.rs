//! The promise to the application: beside a full drain its API answers, and the worker takes no
//! connection from it.

mod api;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use local_postgres::{Binaries, LocalPostgres};
use tokio::time::interval;

use self::api::Clients;
use crate::support::running::{Running, UserLock, eventually, number, waiting};
use crate::support::tables::{RAW, difference};
use crate::support::{Database, Ran, connect, database, worker_at};

/// The API's pool, and the clients that share it.
const API_SESSIONS: usize = 10;
const API_CLIENTS: u32 = 50;

/// The worker's `pool.max_size`.
const WORKER_SESSIONS: i64 = 4;

/// The test's own: one to ask, one to look, one for a lock.
const OWN_SESSIONS: usize = 3;

/// Kept by the server for superusers, for emergencies; unused here.
const RESERVED: usize = 3;

const USERS: i64 = 50;
/// The backlog's vitals of each user.
const SAMPLES: i64 = 280;

const SETTINGS: [(&str, &str); 2] = [
    // The whole budget is open from the beginning, as in the worst moment of a service.
    ("WORKER__POOL__MIN_IDLE", "4"),
    // The test holds a lock until everybody was answered, however busy the machine is.
    ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "25"),
];

/// Sessions of the worker at this moment.
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'aggregation'";

/// A server on which there is a place for everybody, and none besides.
async fn tight_server() -> (LocalPostgres, Database) {
    let binaries = Binaries::find_or_install(|line| eprintln!("{line}")).unwrap();
    let connections = API_SESSIONS + WORKER_SESSIONS as usize + OWN_SESSIONS + RESERVED;
    let settings = [
        ("max_connections", connections.to_string()),
        ("superuser_reserved_connections", RESERVED.to_string()),
        ("log_connections", "on".to_owned()),
    ];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let server = LocalPostgres::start_with(&binaries, &settings).unwrap();
    let url = server.url("postgres");
    let migrated = worker_at(&url).arg("migrate").output().unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let db = database(&url).await;
    // Superusers would help themselves to the reserved connections.
    db.execute(
        "CREATE ROLE aggregation LOGIN;
         GRANT ALL ON ALL TABLES IN SCHEMA public TO aggregation;
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO aggregation;
         CREATE ROLE api LOGIN;
         GRANT ALL ON vitals_raw TO api;
         GRANT SELECT ON vitals_daily TO api",
    )
    .await;
    (server, db)
}

/// Raw rows of every kind, arriving interleaved over the users.
async fn insert_backlog(db: &Database) {
    db.execute(&format!(
        "INSERT INTO user_profiles
         SELECT u, 'Europe/Berlin', '{{watch,phone}}' FROM generate_series(1, {USERS}, 3) AS u;
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT u, 'heart_rate', 60 + (u + r) % 40, 'bpm', 'watch', at, at
         FROM generate_series(1, {SAMPLES}) AS r, generate_series(1, {USERS}) AS u,
              LATERAL (SELECT timestamptz '2024-05-01 00:00Z' + r * interval '5 minutes' AS at) AS t
         ORDER BY r, u;
         INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
         SELECT u, 'soup', 'dinner', '2024-05-01 18:00Z', 'app', 100 + u
         FROM generate_series(1, {USERS}) AS u;
         INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source)
         SELECT u, 'glucose', (4 + u % 3)::text, 'mmol/L', 'final', '2024-05-01 08:00Z', 'lab'
         FROM generate_series(1, {USERS}) AS u"
    ))
    .await;
}

/// Counts the worker's sessions again and again, and gives the greatest number.
fn look_at_the_worker(url: &str) -> impl AsyncFnOnce() -> i64 + use<> {
    let (url, over) = (url.to_owned(), Arc::new(AtomicBool::new(false)));
    let until = Arc::clone(&over);
    let looking = tokio::spawn(async move {
        let client = connect(&url).await;
        let mut ticks = interval(Duration::from_millis(2));
        let mut most = 0;
        while !until.load(Ordering::SeqCst) {
            ticks.tick().await;
            most = most.max(client.query_one(SESSIONS, &[]).await.unwrap().get(0));
        }
        most
    });
    async move || {
        over.store(true, Ordering::SeqCst);
        looking.await.unwrap()
    }
}

#[tokio::test]
async fn an_api_of_50_clients_is_answered_during_a_full_drain_and_keeps_its_connections() {
    let (server, db) = tight_server().await;
    insert_backlog(&db).await;
    let last: String = db.value("SELECT max(queued_at)::text FROM aggregation_queue").await;
    let url_of = |role: &str| db.url.replace("postgres@", &format!("{role}@"));
    let api = Clients::start(&url_of("api"), API_SESSIONS, API_CLIENTS, USERS).await;
    api.are_answered(1).await;
    let most_sessions = look_at_the_worker(&db.url);
    // The first batch has rows of user 1, among others.
    let lock = UserLock::hold(&db.url, 1).await;
    let service = Running::service(worker_at(&url_of("aggregation")), &SETTINGS);

    // In the middle of a batch, all of its connections open.
    waiting(&db, 1).await;
    eventually(&db, SESSIONS, WORKER_SESSIONS).await;
    api.are_answered(3).await;
    lock.release().await;
    // At full speed. Rows that the clients insert meanwhile are queued too, so the drain ends after
    // their last round.
    service.logs("batch_done").await;
    api.are_answered(10).await;
    let backlog = format!("SELECT count(*) FROM aggregation_queue WHERE queued_at <= '{last}'");
    eventually(&db, &backlog, 0).await;
    api.stop_writing();
    eventually(&db, "SELECT count(*) FROM aggregation_queue", 0).await;
    api.are_answered(1).await;
    api.stop().await;
    // A client may have been in the middle of its last round of writing.
    eventually(&db, "SELECT count(*) FROM aggregation_queue", 0).await;

    assert_eq!(most_sessions().await, WORKER_SESSIONS);
    // Before the end: a look that a stop cuts off has its connection closed, and replaced.
    assert_never_more_were_opened(&server);
    assert_its_log_is_calm(&service.stops());
    assert_nobody_was_refused(&server);
    assert_figures_as_from_scratch(&db).await;
}

fn lines(server: &LocalPostgres, what: &str) -> Vec<String> {
    let log = fs::read_to_string(server.log_path()).unwrap();
    log.lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
}

/// By the server's own log, it refused no session.
fn assert_nobody_was_refused(server: &LocalPostgres) {
    for refusal in ["too many clients", "too many connections", "connection slots"] {
        let refused = lines(server, refusal);
        assert!(refused.is_empty(), "{refused:#?}");
    }
}

/// The server's own word: the worker never opened more than it may have, not even for a moment
/// between two looks.
fn assert_never_more_were_opened(server: &LocalPostgres) {
    let opened = lines(server, "authorized: user=aggregation");
    assert_eq!(opened.len() as i64, WORKER_SESSIONS, "{opened:#?}");
}

/// Nothing failed or was interrupted, and the pool never had too little.
fn assert_its_log_is_calm(ran: &Ran) {
    for trouble in ["database_unavailable", "drain_paused", "batch_interrupted", "group_failed"] {
        assert!(ran.events(trouble).is_empty(), "{}", ran.stderr);
    }
    let batches = [ran.events("batch_claimed"), ran.events("batch_done")].concat();
    assert!(!batches.is_empty());
    for batch in batches {
        assert!(["healthy", "warning"].map(Into::into).contains(&batch["pool.health"]), "{batch}");
        assert!(number(&batch, "pool.open") <= WORKER_SESSIONS as u64, "{batch}");
    }
}

/// The same facts give the same figures in another database in which nothing else ever happened.
async fn assert_figures_as_from_scratch(db: &Database) {
    let scratch = Database::new().await;
    for table in ["user_profiles"].iter().chain(&RAW) {
        scratch.insert_raw_rows(table, &db.raw_rows(table).await).await;
    }
    // Another batch size changes no figure.
    let mut worker = scratch.worker();
    worker.args(["run-once", "--json"]).env("WORKER__BATCH__SIZE", "200");
    let ran = Ran::of(worker.output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let figures = db.figures_as_text().await;
    assert!(figures.len() as i64 > 3 * USERS, "{}", figures.len());
    if let Some(lines) = difference(&figures, &scratch.figures_as_text().await) {
        panic!("beside the API (-) and from scratch (+): {lines}");
    }
}
