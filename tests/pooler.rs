//! PgBouncer between the worker and PostgreSQL: supported modes work, others are refused with a
//! message.

use std::process::Command;

use local_postgres::Shutdown;

use crate::support::bouncer::{Bouncer, carries_statements};
use crate::support::outside::{Scratch, assert_says, refused};
use crate::support::running::{Running, UserLock, eventually, number};
use crate::support::samples::{assert_all_done, insert_minute, insert_samples};
use crate::support::{Database, Ran, database, server, server_of_its_own, worker_at};

const QUEUED: &str = "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue";
const VITALS: &str = "user_id,metric,value,unit,source,started_at\n\
                      1,heart_rate,61,bpm,watch,2024-05-01T10:00:00Z\n";

/// The worker's command line for a database behind the pooler.
fn behind(bouncer: &Bouncer, db: &Database, pooler: &str) -> Command {
    let mut command = worker_at(&bouncer.url(&db.name));
    command.env("WORKER__DATABASE__POOLER", pooler);
    command
}

fn ran(command: &mut Command, arguments: &[&str]) -> Ran {
    let ran = Ran::of(command.args(arguments).output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    ran
}

/// Everything but migrating: import, several workers, time-outs, looking and queueing again.
async fn everything_works(bouncer: &Bouncer, db: &Database, pooler: &str) {
    let command = || behind(bouncer, db, pooler);
    let scratch = Scratch::new();
    let file = scratch.file("vitals.csv", VITALS).display().to_string();
    ran(&mut command(), &["import", "--kind", "vitals", &file]);
    let profiles = "user_id,time_zone\n1,Europe/Berlin\n";
    let file = scratch.file("profiles.csv", profiles).display().to_string();
    ran(&mut command(), &["import", "--kind", "profiles", &file]);
    insert_samples(db, 30, 20).await;

    let lock = UserLock::hold(&db.url, 7).await;
    let settings = [
        ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "0.05"),
        ("WORKER__BATCH__BACKOFF_FIRST_SECONDS", "0.1"),
        ("WORKER__BATCH__MAX_ATTEMPTS", "100"),
    ];
    let workers = [(); 2].map(|()| Running::service(command(), &settings));
    // The time-out holds behind the pooler, too.
    crate::support::outside::eventually("the lock's time-out strikes", || {
        workers.iter().any(|worker| !worker.events("group_failed").is_empty())
    });
    let failed = workers.iter().flat_map(|worker| worker.events("group_failed")).next().unwrap();
    assert_eq!(failed["class"], "locked");
    lock.release().await;
    eventually(db, QUEUED, 0).await;
    for worker in workers {
        worker.stops();
    }

    let day = ["--from", "2024-05-01", "--to", "2024-05-01", "--html", "-"];
    let page = ran(&mut command(), &[&["report", "--user", "3"], &day[..]].concat());
    assert_says(&page.stdout, &["Heart rate by hour"]);
    ran(&mut command(), &["requeue", "--user", "3"]);
    ran(&mut command(), &["status"]);
    let again = ran(&mut command(), &["run-once", "--json"]).json();
    assert_eq!(again["rows_completed"], 20);
    assert_eq!(ran(&mut command(), &["verify", "--json"]).json()["rows_different"], 0);
    assert_all_done(db).await;
}

#[tokio::test]
async fn behind_a_pooler_by_session_everything_works_migrating_too() {
    let bouncer = Bouncer::start(server(), "session", "");
    let db = Database::empty().await;
    ran(&mut behind(&bouncer, &db, "session"), &["migrate"]);
    everything_works(&bouncer, &db, "session").await;
}

#[tokio::test]
async fn behind_a_pooler_by_transaction_everything_works_but_migrating_if_it_carries_statements() {
    let bouncer = Bouncer::start(server(), "transaction", "default_pool_size = 3");
    let db = Database::new().await;
    if carries_statements() {
        everything_works(&bouncer, &db, "transaction").await;
        let why = refused(behind(&bouncer, &db, "transaction").arg("migrate"));
        assert_says(
            &why,
            &["migrating needs a session of its own", "WORKER__DATABASE__POOLER=none"],
        );
    } else {
        let why = refused(behind(&bouncer, &db, "transaction").arg("run-once"));
        assert_says(&why, &["prepared statements are not carried", "version 1.21"]);
    }
}

#[tokio::test]
async fn a_pooler_that_nobody_told_of_is_found_out_before_anything_is_done() {
    let db = Database::new().await;
    insert_samples(&db, 1, 5).await;

    let strict = Bouncer::start(server(), "session", "");
    let why = refused(behind(&strict, &db, "none").arg("run-once"));
    assert_says(&why, &["a pooler", "refuses the settings", "set database.pooler"]);

    // One that drops them in silence would let statements run for ever.
    let lenient = "ignore_startup_parameters = options";
    let lenient = Bouncer::start(server(), "session", lenient);
    let why = refused(behind(&lenient, &db, "none").arg("run-once"));
    assert_says(&why, &["do not reach PostgreSQL", "set database.pooler"]);

    let shared = Bouncer::start(server(), "transaction", "");
    let why = refused(behind(&shared, &db, "session").arg("run-once"));
    assert_says(&why, &["per transaction", "set database.pooler to \"transaction\""]);
    assert_eq!(db.value::<i64>(QUEUED).await, 5);
}

#[tokio::test]
async fn trying_a_pooler_leaves_nothing_in_sessions_that_the_application_gets() {
    let shared = Bouncer::start(server(), "transaction", "default_pool_size = 1");
    let db = Database::new().await;
    let app = crate::support::connect(&shared.url(&db.name)).await;
    let settings = || async {
        let sql = "SELECT name || '=' || setting FROM pg_settings ORDER BY name";
        // Without a name, as a pooler that carries no statements knows none.
        let rows = app.simple_query(sql).await.unwrap();
        rows.into_iter()
            .filter_map(|row| match row {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .filter(|setting| !setting.starts_with("application_name="))
            .collect::<Vec<String>>()
    };
    let before = settings().await;
    assert!(before.len() > 100);

    for pooler in ["session", "none"] {
        refused(behind(&shared, &db, pooler).arg("run-once"));
        assert_eq!(settings().await, before, "{pooler}");
    }
}

#[tokio::test]
async fn one_connection_is_too_few_to_try_a_pooler_by_session() {
    let bouncer = Bouncer::start(server(), "session", "");
    let db = Database::new().await;
    let mut command = behind(&bouncer, &db, "session");
    let why = refused(command.arg("run-once").env("WORKER__POOL__MAX_SIZE", "1"));
    assert_says(&why, &["needs two connections", "pool.max_size to at least 2"]);
}

#[tokio::test]
async fn a_pooler_that_is_not_there_is_missed() {
    let db = Database::new().await;
    let why = refused(db.worker().arg("run-once").env("WORKER__DATABASE__POOLER", "transaction"));
    assert_says(&why, &["without a pooler set database.pooler to \"none\""]);
}

#[tokio::test]
async fn options_that_would_not_pass_the_pooler_are_refused() {
    let bouncer = Bouncer::start(server(), "session", "");
    let db = Database::new().await;
    let url = bouncer.url(&db.name) + "&options=-c%20search_path%3Dother";
    let why = refused(worker_at(&url).arg("run-once").env("WORKER__DATABASE__POOLER", "session"));
    assert_says(&why, &["it has options", "ALTER ROLE"]);
}

#[tokio::test]
async fn a_server_that_restarts_behind_the_pooler_is_found_again() {
    let (mut server, url) = server_of_its_own().await;
    let bouncer = Bouncer::start(&server, "session", "server_login_retry = 1");
    let db = database(&url).await;
    let short_lease = [
        ("WORKER__BATCH__LEASE_SECONDS", "5"),
        ("WORKER__SESSION__STATEMENT_TIMEOUT_SECONDS", "4"),
        ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "3"),
    ];
    insert_samples(&db, 3, 5).await;
    let lock = UserLock::hold(&url, 2).await;
    let service = Running::service(behind(&bouncer, &db, "session"), &short_lease);
    crate::support::running::waiting(&db, 1).await;

    server.stop(Shutdown::Immediate).unwrap();
    service.logs("batch_interrupted").await;
    assert_eq!(service.events("batch_interrupted")[0]["class"], "connection_lost");
    server.start_again().unwrap();
    drop(lock);

    let db = database(&url).await;
    insert_minute(&db, 2, 9).await;
    eventually(&db, QUEUED, 0).await;
    let ran = service.stops();
    assert_eq!(number(&ran.events("service_stopped")[0], "failed"), 0, "{}", ran.stderr);
    assert_all_done(&db).await;
}
