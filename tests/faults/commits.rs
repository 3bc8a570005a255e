//! A session ends in the middle of COMMIT, and the worker cannot know whether it happened.

use super::gate::{Gate, USER};
use super::proof::{assert_exact_at_no_attempt, insert_rows, remember, remembering};
use super::{
    QUEUED, assert_interrupted_once, end_sessions, service, sessions, speak_another_language,
};
use crate::support::running::{UserLock, eventually, number, waiting};
use crate::support::{Database, database, server_of_its_own};

async fn days_of_the_user(db: &Database) -> i64 {
    db.value(&format!("SELECT count(*) FROM vitals_daily WHERE user_id = {USER}")).await
}

#[tokio::test]
async fn a_commit_that_was_undone_is_done_again() {
    ends_during_commit(&remembering().await).await;
}

#[tokio::test]
async fn so_it_is_where_the_server_speaks_another_language() {
    let db = remembering().await;
    speak_another_language(&db).await;
    ends_during_commit(&db).await;
}

async fn ends_during_commit(db: &Database) {
    insert_rows(db, 0).await;
    let gate = Gate::in_commit(db, "vitals_daily").await;
    let service = service(&db.url, &[]);
    waiting(db, 1).await;
    let commits = sessions("wait_event_type = 'Lock' AND query ILIKE 'commit%'");
    assert_eq!(db.value::<i64>(&commits).await, 1, "it waits in COMMIT");

    end_sessions(db, "wait_event_type = 'Lock'").await;
    // Again in COMMIT, by the same gate: until then nothing of the first one is to be seen.
    service.logs("drain_paused").await;
    waiting(db, 1).await;
    assert_eq!(days_of_the_user(db).await, 0);
    gate.open().await;
    eventually(db, QUEUED, 0).await;

    let ran = service.stops();
    assert_interrupted_once(&ran, "connection_lost");
    assert_eq!(number(&ran.events("service_stopped")[0], "completed"), 21);
    assert_exact_at_no_attempt(db, &ran).await;
}

#[tokio::test]
async fn a_commit_that_was_done_but_never_confirmed_is_not_done_twice() {
    let (_server, url) = server_of_its_own().await;
    let db = database(&url).await;
    remember(&db).await;
    insert_rows(&db, 0).await;
    let lock = UserLock::hold(&url, USER).await;
    let service = service(&url, &[("WORKER__SESSION__SYNCHRONOUS_COMMIT", "true")]);
    // The claim is committed before commits have to wait.
    waiting(&db, 1).await;
    wait_for_a_standby_that_does_not_exist(&db).await;

    lock.release().await;
    let confirming = "wait_event = 'SyncRep' AND query ILIKE 'commit%'";
    eventually(&db, &sessions(confirming), 1).await;
    assert_eq!(days_of_the_user(&db).await, 0, "nobody sees it while it waits");
    end_sessions(&db, confirming).await;
    // The worker can have changed nothing since, as its commits would wait, too.
    assert_eq!(days_of_the_user(&db).await, 1, "it is done all the same");
    db.execute("ALTER SYSTEM RESET synchronous_standby_names").await;
    db.execute("SELECT pg_reload_conf()").await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    assert_interrupted_once(&ran, "connection_lost");
    let stopped = &ran.events("service_stopped")[0];
    // The five rows that were done without a word were found gone, not done again.
    assert_eq!(number(stopped, "completed"), 16);
    assert_exact_at_no_attempt(&db, &ran).await;
}

/// From now on every commit that is to wait for the disk waits for the standby, too.
async fn wait_for_a_standby_that_does_not_exist(db: &Database) {
    db.execute("CREATE TABLE probe (n integer)").await;
    db.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    db.execute("SELECT pg_reload_conf()").await;
    // The server's processes hear of it one by one: it holds once a commit waits.
    let probe = db.connect().await;
    let probing = tokio::spawn(async move {
        while probe.batch_execute("INSERT INTO probe VALUES (1)").await.is_ok() {}
    });
    eventually(db, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", 1).await;
    probing.abort();
}
