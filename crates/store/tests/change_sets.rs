//! Tests the steps of claimed change sets.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use aggregation::Kind;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use store::{ChangeSet, Claim, ClaimFrom, ErrorClass, ProfileVersion, SetOfGroup, Store};
use support::{start, store};

const LEASE: Duration = Duration::from_secs(60);

/// A migrated database, with 30 rows of user 1 on the evening of one day and the morning of the next.
async fn with_one_set(url: &str) -> (Store, AsyncPgConnection) {
    let store = store(url).await;
    store::migrate(&store, Duration::from_secs(10)).await.unwrap();
    let mut app = AsyncPgConnection::establish(url).await.unwrap();
    app.batch_execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'heart_rate', 60, 'bpm', 'watch', at, at
         FROM generate_series(timestamptz '2024-05-01 23:45Z', '2024-05-02 00:14Z', '1 minute') AS at",
    )
    .await
    .unwrap();
    (store, app)
}

async fn claim(store: &Store) -> Option<Claim> {
    store.claim(Kind::Vitals, ClaimFrom::Oldest, 200, LEASE).await.unwrap()
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
    let server = start(&[]);
    let (store, _app) = with_one_set(&server.url("postgres")).await;
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
    let server = start(&[]);
    let (store, mut app) = with_one_set(&server.url("postgres")).await;
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
    let server = start(&[]);
    let (store, mut app) = with_one_set(&server.url("postgres")).await;
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
    let mut users: Vec<String> = sets.iter().map(|set| set.user_id.to_string()).collect();
    users.sort_unstable();
    assert_eq!(users, ["5", "6", "7", "8"]);
    assert!(claim(&store).await.is_none(), "the rest is locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_its_lease_can_neither_finish_nor_fail_nor_release() {
    let server = start(&[]);
    let (store, mut app) = with_one_set(&server.url("postgres")).await;
    let Claim { token, sets, .. } = claim(&store).await.unwrap();
    app.batch_execute("UPDATE aggregation_queue SET lease_expires_at = now() - interval '1 s'")
        .await
        .unwrap();
    let second = claim(&store).await.unwrap();
    assert_eq!((second.rescued, second.sets[0].lost_leases), (30, 1));

    let finished = finish(&store, token, &[of_group(&sets[0], 0, true)]).await;
    assert_eq!(finished, Err(ErrorClass::LeaseLost));
    store.release(Kind::Vitals, token, &sets).await.unwrap();
    store.snooze(Kind::Vitals, token, &sets, LEASE, "locked").await.unwrap();

    store.renew(Kind::Vitals, second.token, &second.sets, LEASE).await.expect("untouched");
}
