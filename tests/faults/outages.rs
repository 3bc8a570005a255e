//! The server restarts, crashes, or is away for long.

use std::fs;
use std::os::unix::net::UnixListener;

use local_postgres::Shutdown;

use super::gate::Gate;
use super::proof::{assert_exact_at_no_attempt, insert_rows, remember};
use super::{QUEUED, SHORT_LEASE, assert_interrupted, only, service};
use crate::support::outside::assert_says;
use crate::support::running::{eventually, waiting};
use crate::support::{database, server_of_its_own};

/// The server is there again before the worker looks.
async fn restarts_in_the_middle_of_a_group(how: Shutdown) {
    let (mut server, url) = server_of_its_own().await;
    let db = database(&url).await;
    remember(&db).await;
    insert_rows(&db, 0).await;
    let _gate = Gate::in_statement(&db, "vitals_daily").await;
    // Where a crash of the server undoes a commit of the worker, the rows come back by their lease.
    let service = service(&url, &SHORT_LEASE);
    waiting(&db, 1).await;

    service.freeze();
    server.stop(how).unwrap();
    server.start_again().unwrap();
    service.signal("-CONT");
    let db = database(&url).await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    assert_interrupted(&ran, "connection_lost");
    assert_exact_at_no_attempt(&db, &ran).await;
}

#[tokio::test]
async fn a_server_that_restarts_in_the_middle_of_a_group_costs_a_pause() {
    restarts_in_the_middle_of_a_group(Shutdown::Fast).await;
}

#[tokio::test]
async fn a_server_that_crashes_in_the_middle_of_a_group_costs_a_pause() {
    restarts_in_the_middle_of_a_group(Shutdown::Immediate).await;
}

#[tokio::test]
async fn a_server_that_is_away_for_long_is_tried_until_it_is_back() {
    let (mut server, url) = server_of_its_own().await;
    let db = database(&url).await;
    remember(&db).await;
    insert_rows(&db, 0).await;
    let _gate = Gate::in_statement(&db, "vitals_daily").await;
    let service = service(&url, &SHORT_LEASE);
    waiting(&db, 1).await;

    server.stop(Shutdown::Fast).unwrap();
    service.logs("database_unavailable").await;
    // A listener in the server's place sees the worker connect, and connect again.
    let place = server.socket_directory().join(".s.PGSQL.5432");
    let stand_in = UnixListener::bind(&place).unwrap();
    tokio::task::spawn_blocking(move || (0..2).for_each(|_| drop(stand_in.accept().unwrap())))
        .await
        .unwrap();
    fs::remove_file(&place).unwrap();
    server.start_again().unwrap();
    service.logs_times("database_ready", 2).await;
    let db = database(&url).await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    let happened = only(&ran, "batch_interrupted");
    assert_eq!(happened["class"], "connection_lost");
    assert_eq!(happened["released"], false, "there was nobody to give the rows back to");
    assert_eq!(ran.events("drain_paused").len(), 3, "{}", ran.stderr);
    let cause = ran.events("database_unavailable")[0]["cause"].to_string();
    assert_says(&cause, &["cannot connect to the database", "[connection_lost]"]);
    let missed = ran.events("database_ready")[1]["unavailable_s"].as_f64().unwrap();
    assert!(missed > 0.0);
    assert_exact_at_no_attempt(&db, &ran).await;
}
