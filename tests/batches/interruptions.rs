//! Interrupted is not failed: nothing is lost, nothing is done twice, no attempt is counted.

use local_postgres::Shutdown;

use super::{Running, UserLock, assert_all_done, eventually, insert_samples, run, waiting};
use crate::support::outside::assert_says;
use crate::support::samples::untouched;
use crate::support::{Database, database, server_of_its_own, worker_at};

const OF_THE_WORKER: &str = "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'dayfold-worker@%'";

#[tokio::test]
async fn asked_to_stop_the_worker_finishes_its_group_and_gives_back_the_rest() {
    for signal in ["-TERM", "-INT"] {
        let db = Database::new().await;
        insert_samples(&db, 3, 5).await;
        let lock = UserLock::hold(&db.url, 1).await;
        let worker = Running::of(&db);
        waiting(&db, 1).await;

        worker.signal(signal);
        worker.logs("stop_requested").await;
        lock.release().await;

        let ran = worker.succeeds();
        assert_eq!(ran.json()["stopped"], true);
        assert_eq!(ran.json()["rows_completed"], 5);
        assert_eq!(ran.json()["rows_released"], 10);
        assert_eq!(db.value::<i64>("SELECT sum(user_id)::bigint FROM vitals_daily").await, 1);
        assert_eq!(untouched(&db).await, 10);

        assert_eq!(db.run_once()["rows_completed"], 10);
        assert_all_done(&db).await;
    }
}

#[tokio::test]
async fn asked_twice_it_leaves_at_once_and_the_lease_brings_its_rows_back() {
    let db = Database::new().await;
    insert_samples(&db, 2, 5).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let worker = Running::of(&db);
    waiting(&db, 1).await;

    worker.signal("-TERM");
    worker.logs("stop_requested").await;
    worker.signal("-TERM");

    let code = {
        let mut worker = worker;
        worker.child.wait().unwrap().code()
    };
    assert_eq!(code, Some(130));
    lock.release().await;
    eventually(&db, &format!("SELECT count(*) {OF_THE_WORKER}"), 0).await;
    db.execute("UPDATE aggregation_queue SET lease_expires_at = now() - interval '1 s'").await;
    assert_eq!(db.run_once()["rows_completed"], 10);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn what_a_killed_worker_left_is_done_once_its_lease_is_over() {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    let lock = UserLock::hold(&db.url, 2).await;
    let mut worker = Running::of(&db);
    waiting(&db, 1).await;

    worker.child.kill().unwrap();
    worker.child.wait().unwrap();
    lock.release().await;
    // The server finds out when it answers, and rolls back.
    eventually(&db, &format!("SELECT count(*) {OF_THE_WORKER}"), 0).await;

    let leased = "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue WHERE state = 'processing'";
    assert_eq!(db.value::<i64>(leased).await, 10, "the first group is done");
    assert_eq!(db.run_once()["rows_claimed"], 0, "the others are not free yet");
    db.execute("UPDATE aggregation_queue SET lease_expires_at = now() - interval '1 ms'").await;
    assert_eq!(db.run_once()["rows_completed"], 10);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_lease_ends_by_itself() {
    let db = Database::new().await;
    insert_samples(&db, 1, 5).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let settings = [
        ("WORKER__BATCH__LEASE_SECONDS", "5"),
        ("WORKER__SESSION__STATEMENT_TIMEOUT_SECONDS", "4"),
        ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "3"),
    ];
    let mut worker = Running::start(db.worker(), &settings);
    waiting(&db, 1).await;
    worker.child.kill().unwrap();
    lock.release().await;

    let over = "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue WHERE lease_expires_at < clock_timestamp()";
    eventually(&db, over, 5).await;

    assert_eq!(db.run_once()["rows_completed"], 5);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_batch_that_takes_longer_than_its_lease_keeps_it() {
    let db = Database::new().await;
    insert_samples(&db, 2, 5).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let settings = [
        ("WORKER__BATCH__LEASE_SECONDS", "5"),
        ("WORKER__SESSION__STATEMENT_TIMEOUT_SECONDS", "4.9"),
        ("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "4.8"),
    ];
    let worker = Running::start(db.worker(), &settings);
    waiting(&db, 1).await;
    let first = "SELECT min(lease_expires_at)::text FROM aggregation_queue";
    let first: String = db.value(first).await;

    // Longer than half of the lease, so the worker renews its other sets before the next group.
    let halfway = "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue
                   WHERE lease_expires_at < clock_timestamp() + interval '2.4 s'";
    eventually(&db, halfway, 10).await;
    let second = UserLock::hold(&db.url, 2).await;
    lock.release().await;
    eventually(&db, "SELECT count(*) FROM vitals_daily", 1).await;
    waiting(&db, 1).await;
    let renewed = format!(
        "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue WHERE lease_expires_at > timestamptz '{first}' + interval '2 s'"
    );
    assert_eq!(db.value::<i64>(&renewed).await, 5);

    second.release().await;
    worker.succeeds();
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_lost_connection_burns_no_attempt_and_the_run_goes_on_by_itself() {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    db.execute(
        "CREATE TABLE attempts_seen (most integer);
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN INSERT INTO attempts_seen SELECT OLD.attempts FROM unnest(OLD.raw_ids); RETURN OLD; END $$;
         CREATE TRIGGER see BEFORE DELETE ON aggregation_queue FOR EACH ROW EXECUTE FUNCTION see();",
    )
    .await;
    let lock = UserLock::hold(&db.url, 2).await;
    let worker = Running::of(&db);
    waiting(&db, 1).await;

    db.execute(&format!("SELECT pg_terminate_backend(pid) {OF_THE_WORKER}")).await;
    worker.logs("batch_interrupted").await;
    lock.release().await;

    let ran = worker.succeeds();
    assert_eq!(ran.events("batch_interrupted")[0]["class"], "connection_lost", "{}", ran.stderr);
    assert_eq!(ran.json()["rows_completed"], 15);
    assert_eq!(ran.json()["rows_failed"], 0);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM attempts_seen WHERE most = 0").await, 15);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_user_locked_for_too_long_waits_alone_and_costs_no_attempt() {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    let lock = UserLock::hold(&db.url, 2).await;

    let ran = run(&db, &[("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "0.05")]);

    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_eq!(ran.json()["rows_completed"], 10);
    assert_eq!(ran.events("group_failed")[0]["class"], "locked");
    let waits = "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue
                 WHERE user_id = 2 AND state = 'pending' AND attempts = 0
                   AND not_before > now() + interval '20 s'";
    assert_eq!(db.value::<i64>(waits).await, 5);
    lock.release().await;
    db.execute("UPDATE aggregation_queue SET not_before = now()").await;
    db.run_once();
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_server_that_restarts_interrupts_a_run_and_one_that_is_gone_ends_it_in_one_line() {
    let (mut server, url) = server_of_its_own().await;
    insert_samples(&database(&url).await, 3, 5).await;
    let patience = [("WORKER__POOL__WAIT_TIMEOUT_SECONDS", "0.5")];
    for how in [Shutdown::Fast, Shutdown::Immediate] {
        let db = database(&url).await;
        db.execute("UPDATE vitals_raw SET value = value + 1").await;
        let lock = UserLock::hold(&url, 2).await;
        let worker = Running::start(worker_at(&url), &patience);
        waiting(&db, 1).await;

        server.stop(how).unwrap();
        server.start_again().unwrap();
        drop(lock);

        // Whether or not the server undid the marks, a lease may be left; the rows stay.
        let ran = worker.succeeds();
        assert_eq!(ran.json()["rows_failed"], 0, "{}", ran.stderr);
        let db = database(&url).await;
        db.execute("UPDATE aggregation_queue SET lease_expires_at = now() - interval '1 s'").await;
        db.run_once();
        assert_all_done(&db).await;
    }

    let db = database(&url).await;
    db.execute("UPDATE vitals_raw SET value = value + 1").await;
    let _lock = UserLock::hold(&url, 2).await;
    let worker = Running::start(worker_at(&url), &patience);
    waiting(&db, 1).await;
    server.stop(Shutdown::Fast).unwrap();

    let ran = worker.end();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let said: Vec<&str> = ran.stderr.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(said.len(), 1, "{}", ran.stderr);
    assert!(
        said[0].contains("interrupted after") && said[0].contains("no database connection"),
        "{}",
        said[0]
    );
}

#[tokio::test]
async fn a_group_that_ends_its_session_each_time_does_not_hold_up_the_others() {
    let db = Database::new().await;
    insert_samples(&db, 5, 3).await;
    db.execute(
        "CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
         CREATE TRIGGER crash BEFORE INSERT ON vitals_daily
             FOR EACH ROW WHEN (NEW.user_id = 1) EXECUTE FUNCTION crash();",
    )
    .await;

    let ran = run(&db, &[]);

    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.json()["rows_completed"], 12);
    assert_eq!(ran.events("group_postponed").len(), 1, "{}", ran.stderr);
    let waits = "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue
                 WHERE user_id = 1 AND state = 'pending' AND attempts = 0
                   AND not_before > now() + interval '20 s'";
    assert_eq!(db.value::<i64>(waits).await, 3, "no attempt is counted, but it waits");
    db.execute(
        "DROP TRIGGER crash ON vitals_daily; UPDATE aggregation_queue SET not_before = now()",
    )
    .await;
    db.run_once();
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_schema_that_changes_under_the_worker_kills_no_row() {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    db.execute("ALTER TABLE vitals_daily RENAME COLUMN mean TO average").await;

    let ran = run(&db, &[]);

    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let told = &ran.events("batch_interrupted")[0];
    assert_eq!(told["class"], "environment", "{}", ran.stderr);
    assert!(told["error"].to_string().contains("the schema is another one"), "{told}");
    let untouched = "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue
                     WHERE state = 'pending' AND attempts = 0";
    assert_eq!(db.value::<i64>(untouched).await, 15);
    // `status` shows too who blocks the two postponed groups.
    assert_says(&db.run(&["status"]).stdout, &["environment: 42703"]);
    db.execute("ALTER TABLE vitals_daily RENAME COLUMN average TO mean").await;
    db.execute("UPDATE aggregation_queue SET not_before = now()").await;
    db.run_once();
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_transaction_that_takes_too_long_as_a_whole_is_ended_where_the_server_knows_how() {
    let db = Database::new().await;
    insert_samples(&db, 1, 5).await;
    // One that is rejected, and listed by a statement of its own.
    db.execute("UPDATE vitals_raw SET value = 1e6 WHERE started_at = '2024-05-01 10:01Z'").await;
    db.execute(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM pg_sleep(0.4); RETURN NEW; END $$;
         CREATE TRIGGER dawdle BEFORE INSERT ON rejected_rows
             FOR EACH ROW EXECUTE FUNCTION dawdle();
         CREATE TRIGGER dawdle BEFORE INSERT ON vitals_daily
             FOR EACH ROW EXECUTE FUNCTION dawdle();",
    )
    .await;
    let knows_how =
        db.value::<bool>("SELECT current_setting('server_version_num')::int >= 170000").await;

    // Each statement is quick enough for itself.
    let settings = [
        ("WORKER__SESSION__STATEMENT_TIMEOUT_SECONDS", "0.6"),
        ("WORKER__SESSION__TRANSACTION_TIMEOUT_SECONDS", "0.6"),
    ];
    let ran = run(&db, &settings);

    let interrupted = ran.events("batch_interrupted");
    if knows_how {
        assert_eq!(interrupted[0]["class"], "connection_lost", "{}", ran.stderr);
        db.execute("DROP FUNCTION dawdle CASCADE; UPDATE aggregation_queue SET not_before = now()")
            .await;
        db.run_once();
    } else {
        assert!(interrupted.is_empty(), "{}", ran.stderr);
    }
    let done =
        "SELECT sample_count - (SELECT count(*)::integer FROM aggregation_queue) FROM vitals_daily";
    assert_eq!(db.value::<i32>(done).await, 4);
}
