//! The server is there, but refuses: no place, another password, a standby.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use local_postgres::{Binaries, LocalPostgres, Shutdown};

use super::gate::Gate;
use super::proof::{assert_exact_at_no_attempt, insert_rows, remember, remembering};
use super::{QUEUED, SHORT_LEASE, end_sessions, only, service};
use crate::support::outside::assert_says;
use crate::support::running::{eventually, waiting};
use crate::support::{Database, Ran, connect, database, server_of_its_own, worker_at};

/// A role of the test's own that may do what a worker must, and the URL with it.
async fn role(db: &Database, options: &str) -> (String, String) {
    let role = format!("{}_worker", db.name);
    db.execute(&format!(
        "CREATE ROLE {role} LOGIN {options};
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"
    ))
    .await;
    let url = db.url.replace("//postgres@", &format!("//{role}@"));
    (role, url)
}

/// The batch was interrupted, the drain lost its patience, the service was degraded for this cause,
/// and it came back.
#[track_caller]
fn assert_degraded(ran: &Ran, class: &str, cause: &str) {
    assert_eq!(only(ran, "batch_interrupted")["class"], "connection_lost");
    assert!(ran.events("drain_paused").iter().any(|event| event["class"] == class));
    let told = ran.events("database_unavailable");
    assert_says(&told[0]["cause"].to_string(), &[cause, &format!("[{class}]")]);
    assert_eq!(ran.events("database_ready").len(), 2, "{}", ran.stderr);
    assert!(ran.events("group_failed").is_empty(), "{}", ran.stderr);
}

#[tokio::test]
async fn without_a_place_left_at_the_server_it_waits_for_one() {
    let db = remembering().await;
    insert_rows(&db, 0).await;
    let (_, url) = role(&db, "CONNECTION LIMIT 1").await;
    let gate = Gate::in_statement(&db, "vitals_daily").await;
    let one = [("WORKER__POOL__MAX_SIZE", "1")];
    let service = service(&url, &[&SHORT_LEASE[..], &one].concat());
    waiting(&db, 1).await;

    // Another session takes the place when the worker's session has ended.
    service.freeze();
    end_sessions(&db, "true").await;
    let somebody = connect(&url).await;
    service.signal("-CONT");
    service.logs("database_unavailable").await;
    gate.open().await;
    drop(somebody);
    service.logs_times("database_ready", 2).await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    assert_degraded(&ran, "connection_lost", "too many connections for role");
    assert_exact_at_no_attempt(&db, &ran).await;
}

#[tokio::test]
async fn a_password_that_was_changed_is_named_as_the_cause_and_not_shown() {
    const PASSWORDS: [&str; 2] = ["untold-former", "untold-latter"];
    let db = remembering().await;
    insert_rows(&db, 0).await;
    let (role, url) = role(&db, &format!("PASSWORD '{}'", PASSWORDS[0])).await;
    let url = url.replace(&format!("//{role}@"), &format!("//{role}:{}@", PASSWORDS[0]));
    ask_for_the_password(&db, &role, &url).await;
    let gate = Gate::in_statement(&db, "vitals_daily").await;
    let service = service(&url, &SHORT_LEASE);
    waiting(&db, 1).await;

    db.execute(&format!("ALTER ROLE {role} PASSWORD '{}'", PASSWORDS[1])).await;
    end_sessions(&db, "true").await;
    service.logs("database_unavailable").await;
    gate.open().await;
    db.execute(&format!("ALTER ROLE {role} PASSWORD '{}'", PASSWORDS[0])).await;
    service.logs_times("database_ready", 2).await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    assert_degraded(&ran, "connection_lost", "password authentication failed for user");
    for password in PASSWORDS {
        assert!(!ran.stderr.contains(password), "{}", ran.stderr);
    }
    assert_exact_at_no_attempt(&db, &ran).await;
}

/// From now on the server asks this role alone for a password.
async fn ask_for_the_password(db: &Database, role: &str, url: &str) {
    let rules = PathBuf::from(db.value::<String>("SHOW hba_file").await);
    let before = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, format!("local all {role} scram-sha-256\n{before}")).unwrap();
    db.execute("SELECT pg_reload_conf()").await;
    let wrong = url.replace("untold-former", "wrong");
    let mut asked = false;
    while !asked {
        asked = tokio_postgres::connect(&wrong, tokio_postgres::NoTls).await.is_err();
    }
}

#[tokio::test]
async fn a_server_that_became_a_standby_is_worked_with_once_it_is_promoted() {
    let (mut server, url) = server_of_its_own().await;
    let db = database(&url).await;
    remember(&db).await;
    insert_rows(&db, 0).await;
    let _gate = Gate::in_statement(&db, "vitals_daily").await;
    let service = service(&url, &SHORT_LEASE);
    waiting(&db, 1).await;
    let data = PathBuf::from(db.value::<String>("SHOW data_directory").await);

    service.freeze();
    server.stop(Shutdown::Fast).unwrap();
    fs::write(data.join("standby.signal"), "").unwrap();
    server.start_again().unwrap();
    service.signal("-CONT");
    service.logs("database_unavailable").await;
    let db = database(&url).await;
    assert!(db.value::<bool>("SELECT pg_is_in_recovery()").await);
    assert!(db.value::<bool>("SELECT pg_promote()").await);
    service.logs_times("database_ready", 2).await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    assert_degraded(&ran, "environment", "the server is read-only; is it a standby? (25006)");
    assert_exact_at_no_attempt(&db, &ran).await;
}

/// Two servers in the URL: the first one ends, and the second one has its data, as a standby that was in
/// step with it.
#[tokio::test]
async fn after_a_failover_to_a_standby_the_work_goes_on_once_it_is_promoted() {
    let ((mut first, url), (mut second, other)) =
        (server_of_its_own().await, server_of_its_own().await);
    let (db, standby) = (database(&url).await, database(&other).await);
    remember(&db).await;
    insert_rows(&db, 0).await;
    let _gate = Gate::in_statement(&db, "vitals_daily").await;
    let [one, two] = [&first, &second]
        .map(|server| server.socket_directory().to_str().unwrap().replace('/', "%2F"));
    let both = format!("postgresql://postgres@{one},{two}/postgres");
    let service = service(&both, &SHORT_LEASE);
    waiting(&db, 1).await;
    let data = "SHOW data_directory";
    let (from, to): (String, String) = (db.value(data).await, standby.value(data).await);

    service.freeze();
    first.stop(Shutdown::Fast).unwrap();
    second.stop(Shutdown::Fast).unwrap();
    fs::remove_dir_all(&to).unwrap();
    assert!(Command::new("cp").args(["-a", &from, &to]).status().unwrap().success());
    let signal = PathBuf::from(&to).join("standby.signal");
    fs::write(&signal, "").unwrap();
    second.start_again().unwrap();
    service.signal("-CONT");
    service.logs("database_unavailable").await;
    let db = database(&other).await;
    assert!(db.value::<bool>("SELECT pg_is_in_recovery() AND pg_promote()").await);
    service.logs_times("database_ready", 2).await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    assert_degraded(&ran, "environment", "the server is read-only; is it a standby? (25006)");
    assert_exact_at_no_attempt(&db, &ran).await;
}

#[tokio::test]
async fn a_server_without_a_connection_left_for_anybody_is_waited_for() {
    let binaries = Binaries::find_or_install(|line| eprintln!("{line}")).unwrap();
    let server = LocalPostgres::start_with(&binaries, &[("max_connections", "12")]).unwrap();
    let url = server.url("postgres");
    assert!(worker_at(&url).arg("migrate").output().unwrap().status.success());
    let db = database(&url).await;
    remember(&db).await;
    insert_rows(&db, 0).await;
    let (_, of_the_worker) = role(&db, "").await;
    let gate = Gate::in_statement(&db, "vitals_daily").await;
    let one = [("WORKER__POOL__MAX_SIZE", "1")];
    let service = service(&of_the_worker, &[&SHORT_LEASE[..], &one].concat());
    waiting(&db, 1).await;

    // Others come first when the worker's session has ended.
    service.freeze();
    end_sessions(&db, "true").await;
    let mut others = Vec::new();
    let refused = loop {
        match tokio_postgres::connect(&of_the_worker, tokio_postgres::NoTls).await {
            Ok((client, connection)) => others.push((client, tokio::spawn(connection))),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.code().unwrap().code(), "53300");
    service.signal("-CONT");
    service.logs("database_unavailable").await;
    gate.open().await;
    drop(others);
    service.logs_times("database_ready", 2).await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    assert_degraded(&ran, "connection_lost", refused.as_db_error().unwrap().message());
    assert_exact_at_no_attempt(&db, &ran).await;
}

#[tokio::test]
async fn a_server_without_room_for_another_lock_is_waited_for() {
    let binaries = Binaries::find_or_install(|line| eprintln!("{line}")).unwrap();
    let few = [("max_connections", "20"), ("max_locks_per_transaction", "10")];
    let server = LocalPostgres::start_with(&binaries, &few).unwrap();
    let url = server.url("postgres");
    assert!(worker_at(&url).arg("migrate").output().unwrap().status.success());
    let db = database(&url).await;
    remember(&db).await;
    let service = service(&url, &[]);
    service.logs("database_ready").await;

    // While the worker is suspended, another session takes all locks.
    service.freeze();
    insert_rows(&db, 0).await;
    let somebody = connect(&url).await;
    let mut taken = 0;
    let refused = loop {
        let lock = format!("SELECT pg_advisory_lock(4711, {taken})");
        match somebody.simple_query(&lock).await {
            Ok(_) => taken += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.code().unwrap().code(), "53200");
    service.signal("-CONT");
    service.logs("database_unavailable").await;
    drop(somebody);
    service.logs_times("database_ready", 2).await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    let unavailable = &ran.events("database_unavailable")[0];
    assert_eq!(unavailable["sqlstate"], "53200", "{unavailable}");
    let cause = "the server has no memory left, or no room for another lock (53200) [environment]";
    assert_says(&unavailable["cause"].to_string(), &[cause]);
    assert!(ran.events("group_failed").is_empty(), "{}", ran.stderr);
    assert_exact_at_no_attempt(&db, &ran).await;
}
