//! Tests the steps of claimed change sets: claim, finish, fail, give up, release, snooze, renew, requeue.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aggregation::Kind;
use diesel::dsl::sql;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use local_postgres::LocalPostgres;
use store::{
    ChangeSet, Claim, ClaimFrom, ErrorClass, Failed, ProfileVersion, RequeueSelection, RetryPolicy,
    SetOfGroup, Store,
};
use support::{start, store};

const LEASE: Duration = Duration::from_secs(60);

const POLICY: RetryPolicy =
    RetryPolicy { max_attempts: 3, first: Duration::from_secs(60), max: Duration::from_secs(90) };

/// The server of all tests of this file. Each test has a database of its own.
static SERVER: OnceLock<LocalPostgres> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A migrated database.
async fn migrated() -> (Store, AsyncPgConnection) {
    let server = SERVER.get_or_init(|| start(&[]));
    let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let mut admin = AsyncPgConnection::establish(&server.url("postgres")).await.unwrap();
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let url = server.url(&name);
    let store = store(&url).await;
    store::migrate(&store, Duration::from_secs(10)).await.unwrap();
    (store, AsyncPgConnection::establish(&url).await.unwrap())
}

/// With 30 rows of user 1 on the evening of one day and the morning of the next.
async fn with_one_set() -> (Store, AsyncPgConnection) {
    let (store, mut app) = migrated().await;
    app.batch_execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'heart_rate', 60, 'bpm', 'watch', at, at
         FROM generate_series(timestamptz '2024-05-01 23:45Z', '2024-05-02 00:14Z', '1 minute') AS at",
    )
    .await
    .unwrap();
    (store, app)
}

/// Queues a change set of one row for each of the users `1..=users`, the first user's first.
async fn queue_one_row_each(app: &mut AsyncPgConnection, users: u32) {
    app.batch_execute(&format!(
        "INSERT INTO aggregation_queue (user_id, kind, starts_at, raw_ids, ends_at, not_before)
         SELECT u, 'vitals', '2024-05-01', ARRAY[u], '2024-05-01',
                timestamptz '2024-06-01' + u * interval '1 s'
         FROM generate_series(1, {users}) AS u"
    ))
    .await
    .unwrap();
}

async fn claim(store: &Store) -> Option<Claim> {
    store.claim(Kind::Vitals, ClaimFrom::Oldest, 200, LEASE).await.unwrap()
}

fn users(sets: &[ChangeSet]) -> Vec<String> {
    let mut users: Vec<String> = sets.iter().map(|set| set.user_id.to_string()).collect();
    users.sort_unstable();
    users
}

/// Asserts that a condition holds for each set of the queue, and that there is one.
async fn assert_all(app: &mut AsyncPgConnection, condition: &str) {
    let asked = format!("(SELECT bool_and({condition}) IS TRUE FROM aggregation_queue)");
    let holds: bool = diesel::select(sql::<Bool>(&asked)).get_result(app).await.unwrap();
    let rows = "(SELECT coalesce(string_agg(q::text, ' '), 'none') FROM aggregation_queue AS q)";
    let rows: String = diesel::select(sql::<Text>(rows)).get_result(app).await.unwrap();
    assert!(holds, "{condition}: {rows}");
}

/// Makes sets in back-off due.
async fn end_back_off(store: &Store, app: &mut AsyncPgConnection) {
    app.batch_execute("UPDATE aggregation_queue SET not_before = now() WHERE state = 'pending'")
        .await
        .unwrap();
    store.require_full_scan();
}

async fn expire_leases(app: &mut AsyncPgConnection) {
    app.batch_execute("UPDATE aggregation_queue SET lease_expires_at = now() - interval '1 s'")
        .await
        .unwrap();
}

/// Commits a group of user 1 without figures.
async fn finish(store: &Store, token: i64, sets: &[SetOfGroup<'_>]) -> Result<(), ErrorClass> {
    let group = store.begin_group(Kind::Vitals, &1.into()).await.unwrap();
    let committed =
        async { group.finish(token, sets, &[], ProfileVersion::default()).await?.commit().await };
    committed.await.map_err(|error: store::StoreError| error.class())
}

fn of_group(set: &ChangeSet, dates_done: i32, is_last: bool) -> SetOfGroup<'_> {
    SetOfGroup { set, dates_done, is_last }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_two_dates_is_deleted_by_the_last_one() {
    let (store, _app) = with_one_set().await;
    let Claim { token, sets, .. } = claim(&store).await.unwrap();
    assert_eq!(sets.iter().map(|set| set.rows.len()).collect::<Vec<_>>(), [30]);

    finish(&store, token, &[of_group(&sets[0], 0, false)]).await.unwrap();
    store.renew(Kind::Vitals, token, &sets, LEASE).await.expect("it is still there");
    finish(&store, token, &[of_group(&sets[0], 1, true)]).await.unwrap();

    let gone = store.renew(Kind::Vitals, token, &sets, LEASE).await.unwrap_err();
    assert_eq!(gone.class(), ErrorClass::LeaseLost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_whose_first_date_a_crashed_server_has_forgotten_is_not_deleted_by_the_last_one() {
    let (store, mut app) = with_one_set().await;
    let Claim { token, sets, .. } = claim(&store).await.unwrap();
    finish(&store, token, &[of_group(&sets[0], 0, false)]).await.unwrap();

    // Commits do not wait for the disk: a crash loses the first date's commit and all of its writes.
    app.batch_execute("UPDATE aggregation_queue SET dates_done = 0").await.unwrap();

    let finished = finish(&store, token, &[of_group(&sets[0], 1, true)]).await;
    assert_eq!(finished, Err(ErrorClass::LeaseLost));
    store.release(Kind::Vitals, token, &sets).await.unwrap();
    assert_eq!(claim(&store).await.unwrap().row_count(), 30, "all of it is done again");
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_at_the_same_time_lock_different_heads_and_both_are_full() {
    let (store, mut app) = with_one_set().await;
    app.batch_execute(
        "DELETE FROM aggregation_queue;
         INSERT INTO aggregation_queue (user_id, kind, starts_at, raw_ids, ends_at, not_before)
         SELECT u, 'vitals', '2024-05-01', array_agg(u * 1000 + n), '2024-05-01',
                timestamptz '2024-06-01' + u * interval '1 s'
         FROM generate_series(1, 8) AS u, generate_series(1, 50) AS n GROUP BY u",
    )
    .await
    .unwrap();
    app.batch_execute("BEGIN; SELECT FROM aggregation_queue WHERE user_id <= 4 FOR UPDATE")
        .await
        .unwrap();
    // A claim skips rows locked by another, uncommitted claim without waiting.
    let Claim { sets, .. } = claim(&store).await.unwrap();
    assert_eq!(users(&sets), ["5", "6", "7", "8"]);
    assert!(claim(&store).await.is_none(), "the rest is locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_its_lease_can_neither_finish_nor_fail_nor_release_nor_renew() {
    let (store, mut app) = with_one_set().await;
    let Claim { token, sets, .. } = claim(&store).await.unwrap();
    expire_leases(&mut app).await;
    let second = claim(&store).await.unwrap();
    assert_eq!((second.rescued, second.sets[0].lost_leases), (30, 1));

    let finished = finish(&store, token, &[of_group(&sets[0], 0, true)]).await;
    assert_eq!(finished, Err(ErrorClass::LeaseLost));
    store.release(Kind::Vitals, token, &sets).await.unwrap();
    store.snooze(Kind::Vitals, token, &sets, LEASE, "locked").await.unwrap();
    store.give_up(Kind::Vitals, token, &sets).await.unwrap();
    let failed = store.fail(Kind::Vitals, token, &sets, "refused", POLICY).await.unwrap();
    assert_eq!(failed, Failed::default(), "it fails no set");
    let renewed = store.renew(Kind::Vitals, token, &sets, LEASE).await;
    assert_eq!(renewed.unwrap_err().class(), ErrorClass::LeaseLost);

    assert_all(&mut app, "state = 'processing' AND attempts = 0 AND last_error IS NULL").await;
    store.renew(Kind::Vitals, second.token, &second.sets, LEASE).await.expect("untouched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_takes_the_oldest_sets_up_to_its_size_and_the_next_one_the_others() {
    let (store, mut app) = migrated().await;
    queue_one_row_each(&mut app, 5).await;
    let of_size = async |from, size| {
        store.claim(Kind::Vitals, from, size, LEASE).await.unwrap().map(|claim| users(&claim.sets))
    };
    assert_eq!(of_size(ClaimFrom::Oldest, 2).await.unwrap(), ["1", "2"]);
    assert_eq!(of_size(ClaimFrom::Newest, 1).await.unwrap(), ["5"]);
    assert_eq!(of_size(ClaimFrom::NewestBut(4.into()), 1).await.unwrap(), ["3"]);
    assert_eq!(of_size(ClaimFrom::Oldest, 2).await.unwrap(), ["4"]);
    assert_eq!(of_size(ClaimFrom::Oldest, 2).await, None, "all are claimed");
    assert_all(&mut app, "state = 'processing' AND lease_token IS NOT NULL").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_kind_is_not_claimed_until_it_is_resumed() {
    let (store, _app) = with_one_set().await;
    assert!(store.pause(Kind::Vitals, "test").await.unwrap(), "it was not paused");
    assert!(!store.pause(Kind::Vitals, "another").await.unwrap(), "it is paused already");
    assert_eq!(store.paused().await.unwrap()[0].paused_by, "test");
    assert!(claim(&store).await.is_none());

    assert!(store.resume(Kind::Vitals).await.unwrap());
    assert!(!store.resume(Kind::Vitals).await.unwrap(), "it is resumed already");
    assert!(claim(&store).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_set_backs_off_twice_as_long_each_time_and_is_dead_after_the_last_attempt() {
    let (store, mut app) = with_one_set().await;
    // The maximum limits the doubled wait.
    for (attempts, wait) in [(1, "60 s"), (2, "90 s")] {
        let Claim { token, sets, .. } = claim(&store).await.unwrap();
        let before = "CREATE TABLE before AS SELECT clock_timestamp() AS at";
        app.batch_execute(&format!("DROP TABLE IF EXISTS before; {before}")).await.unwrap();
        let failed = store.fail(Kind::Vitals, token, &sets, "refused 23514", POLICY).await.unwrap();
        assert_eq!(failed, Failed { dead: 0, attempts });
        let condition = format!(
            "state = 'pending' AND attempts = {attempts} AND lease_token IS NULL
             AND lease_expires_at IS NULL AND last_error = 'refused 23514'
             AND not_before BETWEEN (SELECT at FROM before) + interval '{wait}'
                                AND clock_timestamp() + interval '{wait}'"
        );
        assert_all(&mut app, &condition).await;
        assert!(claim(&store).await.is_none(), "it backs off");
        end_back_off(&store, &mut app).await;
    }
    let Claim { token, sets, .. } = claim(&store).await.unwrap();
    let failed = store.fail(Kind::Vitals, token, &sets, "refused", POLICY).await.unwrap();
    assert_eq!(failed, Failed { dead: 30, attempts: 0 });
    assert_all(&mut app, "state = 'dead' AND attempts = 3 AND not_before = 'infinity'").await;
    assert!(claim(&store).await.is_none(), "it is dead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_set_that_is_requeued_has_all_its_attempts_again() {
    let (store, mut app) = with_one_set().await;
    let Claim { token, sets, .. } = claim(&store).await.unwrap();
    let policy = RetryPolicy { max_attempts: 1, ..POLICY };
    store.fail(Kind::Vitals, token, &sets, "refused", policy).await.unwrap();

    let all = RequeueSelection::default();
    let of_user = RequeueSelection { user_id: Some(1.into()), between: None };
    let of_another = RequeueSelection { user_id: Some(2.into()), between: None };
    assert_eq!(store.count_dead(Kind::Vitals, &of_another).await.unwrap(), 0);
    assert_eq!(store.count_dead(Kind::Labs, &all).await.unwrap(), 0);
    assert_eq!(store.count_dead(Kind::Vitals, &of_user).await.unwrap(), 30);
    assert_eq!(store.count_dead(Kind::Vitals, &all).await.unwrap(), 30);

    assert_eq!(store.requeue_dead(Kind::Vitals, &of_another).await.unwrap(), 0);
    assert_eq!(store.requeue_dead(Kind::Vitals, &of_user).await.unwrap(), 30);
    assert_all(&mut app, "state = 'pending' AND attempts = 0 AND last_error IS NULL").await;
    assert_eq!(store.count_dead(Kind::Vitals, &all).await.unwrap(), 0);
    assert_eq!(claim(&store).await.unwrap().row_count(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_set_is_due_and_a_snoozed_one_waits_and_neither_has_an_attempt() {
    let (store, mut app) = with_one_set().await;
    let first = claim(&store).await.unwrap();
    store.release(Kind::Vitals, first.token, &first.sets).await.unwrap();
    assert_all(
        &mut app,
        "state = 'pending' AND attempts = 0 AND lost_leases = 0 AND lease_token IS NULL
         AND not_before <= clock_timestamp() AND last_error IS NULL",
    )
    .await;
    let second = claim(&store).await.unwrap();
    assert_ne!(second.token, first.token, "each claim has a token of its own");
    assert_eq!(second.rescued, 0);

    store.snooze(Kind::Vitals, second.token, &second.sets, LEASE, "locked").await.unwrap();
    assert_all(
        &mut app,
        "state = 'pending' AND attempts = 0 AND lease_token IS NULL AND last_error = 'locked'",
    )
    .await;
    assert!(claim(&store).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_lease_has_not_expired_and_one_that_has_lost_a_set_is_lost() {
    let (store, mut app) = migrated().await;
    queue_one_row_each(&mut app, 2).await;
    let Claim { token, sets, .. } = claim(&store).await.unwrap();
    expire_leases(&mut app).await;
    store.renew(Kind::Vitals, token, &sets, LEASE).await.unwrap();
    assert!(claim(&store).await.is_none(), "the lease has not expired");

    app.batch_execute("UPDATE aggregation_queue SET lease_token = 1 WHERE user_id = 2")
        .await
        .unwrap();
    let lost = store.renew(Kind::Vitals, token, &sets, LEASE).await.unwrap_err();
    assert_eq!(lost.class(), ErrorClass::LeaseLost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_ends_later_than_any_that_is_granted_is_void() {
    let (store, mut app) = with_one_set().await;
    let first = claim(&store).await.unwrap();
    // The server's clock was ahead when the lease was granted.
    app.batch_execute("UPDATE aggregation_queue SET lease_expires_at = now() + interval '1 day'")
        .await
        .unwrap();
    let second = claim(&store).await.unwrap();
    assert_eq!((second.rescued, second.sets[0].lost_leases), (30, 1));
    assert_eq!(second.former_holders.len(), 1);
    let lost = store.renew(Kind::Vitals, first.token, &first.sets, LEASE).await.unwrap_err();
    assert_eq!(lost.class(), ErrorClass::LeaseLost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_whose_workers_all_ended_is_given_up_as_dead() {
    let (store, mut app) = with_one_set().await;
    let Claim { token, sets, .. } = claim(&store).await.unwrap();
    store.give_up(Kind::Vitals, token, &sets).await.unwrap();
    assert_all(
        &mut app,
        "state = 'dead' AND not_before = 'infinity' AND lease_token IS NULL
         AND last_error = 'lease_expired'",
    )
    .await;
    assert!(claim(&store).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_whose_profile_has_changed_finishes_nothing() {
    let (store, mut app) = with_one_set().await;
    let Claim { token, sets, .. } = claim(&store).await.unwrap();
    app.batch_execute("INSERT INTO user_profiles (user_id, time_zone) VALUES (1, 'Asia/Tokyo')")
        .await
        .unwrap();
    let finished = finish(&store, token, &[of_group(&sets[0], 0, true)]).await;
    assert_eq!(finished, Err(ErrorClass::Outdated));
    assert_all(&mut app, "state = 'processing' AND dates_done = 0").await;
    store.renew(Kind::Vitals, token, &sets, LEASE).await.expect("it is still claimed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_has_lost_one_of_its_sets_finishes_none() {
    let (store, mut app) = migrated().await;
    app.batch_execute(
        "INSERT INTO aggregation_queue (user_id, kind, starts_at, raw_ids, ends_at)
         SELECT 1, 'vitals', timestamptz '2024-05-01' + n * interval '1 hour', ARRAY[n],
                timestamptz '2024-05-01' + n * interval '1 hour'
         FROM generate_series(1, 2) AS n",
    )
    .await
    .unwrap();
    let Claim { token, sets, .. } = claim(&store).await.unwrap();
    assert_eq!(sets.len(), 2);
    app.batch_execute("UPDATE aggregation_queue SET lease_token = 1 WHERE raw_ids = '{2}'")
        .await
        .unwrap();
    let group: Vec<SetOfGroup<'_>> = sets.iter().map(|set| of_group(set, 0, true)).collect();
    assert_eq!(finish(&store, token, &group).await, Err(ErrorClass::LeaseLost));
    let both = "(SELECT count(*) FROM aggregation_queue) = 2";
    assert_all(&mut app, &format!("state = 'processing' AND {both}")).await;
}
