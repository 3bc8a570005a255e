//! A claim reads about as many rows as it takes, regardless of the queue's size and statistics.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/reads.rs"]
mod reads;
mod support;

use std::time::Duration;

use aggregation::{Kind, UserId, UserIdType};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use reads::{count, others_left, rows_read};
use store::{Claim, ClaimFrom, Store};
use support::{migrated, start};

/// Change sets of one row of many users that all arrived at one moment, so each row of a batch is a
/// head.
const FILL: &str = "
    INSERT INTO aggregation_queue (user_id, kind, starts_at, raw_ids, ends_at, not_before)
    SELECT user_of(n % 500), 'vitals', at, ARRAY[n], at, '2024-06-01'
    FROM generate_series(1, 20000) AS n,
         LATERAL (SELECT timestamptz '2024-01-01' + n / 500 * interval '1 minute' AS at) AS t;";

/// Earlier events of the queue, besides the waiting rows.
const HISTORIES: [(&str, &str); 4] = [
    ("known to be empty", "VACUUM ANALYZE aggregation_queue"),
    ("never looked at", ""),
    (
        "emptied, and the statistics know that",
        "DELETE FROM aggregation_queue; ANALYZE aggregation_queue",
    ),
    (
        "full of dead and waiting rows",
        "UPDATE aggregation_queue SET state = 'dead', not_before = 'infinity' WHERE raw_ids[1] % 2 = 0;
         UPDATE aggregation_queue SET not_before = now() + interval '1 hour' WHERE raw_ids[1] % 2 = 1;
         ANALYZE aggregation_queue",
    ),
];

const ENDS: [ClaimFrom; 2] = [ClaimFrom::Oldest, ClaimFrom::Newest];

async fn claim(store: &Store, from: &ClaimFrom) -> Option<Claim> {
    store.claim(Kind::Vitals, from.clone(), 200, Duration::from_secs(60)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_reads_about_as_many_rows_as_it_takes() {
    let server = start(&[("autovacuum", "off")]);
    let mut admin = AsyncPgConnection::establish(&server.url("postgres")).await.unwrap();
    let histories =
        HISTORIES.into_iter().flat_map(|of| UserIdType::ALL.map(|id_type| (of, id_type)));
    let histories = histories
        .filter(|((_, sql), id_type)| *id_type == UserIdType::Bigint || sql.contains("dead"));
    for (place, ((history, sql), id_type)) in histories.enumerate() {
        let database = format!("history{place}");
        admin.batch_execute(&format!("CREATE DATABASE {database}")).await.unwrap();
        let url = server.url(&database);
        let store = migrated(&url, id_type).await;

        let mut app = AsyncPgConnection::establish(&url).await.unwrap();
        if sql.contains("FROM aggregation_queue") || sql.contains("UPDATE") {
            app.batch_execute(FILL).await.unwrap();
        }
        app.batch_execute(sql).await.unwrap();
        // From the sixth execution on, a server may keep a generic plan.
        for _ in 0..8 {
            for from in ENDS {
                assert!(claim(&store, &from).await.is_none(), "{history}");
            }
            assert!(!store.any_due().await.unwrap());
        }
        app.batch_execute(FILL).await.unwrap();
        drop(app);

        let mut observer = AsyncPgConnection::establish(&url).await.unwrap();
        others_left(&mut observer, 1).await;
        observer.batch_execute("SELECT pg_stat_reset()").await.unwrap();
        for from in ENDS.into_iter().chain(ENDS) {
            // After a slow claim, on a busy machine, the next one would skip old sets.
            store.require_full_scan();
            assert!(store.any_due().await.unwrap());
            let claimed = claim(&store, &from).await;
            let claimed = claimed.unwrap_or_else(|| panic!("{history}, {from:?}, {id_type}"));
            assert_eq!(claimed.row_count(), 200, "{history}");
        }
        drop(store);
        others_left(&mut observer, 0).await;

        let read = rows_read(&mut observer, "aggregation_queue").await;
        // Heads, neighbours, marking: each row is read three times, and rows claimed or skipped before
        // once more.
        assert!(read < 4 * 200 * 8, "{history}, {id_type}: {read} rows read for 800");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_for_rows_of_the_future_reads_none_that_is_due_or_dead() {
    let server = start(&[("autovacuum", "off")]);
    let url = server.url("postgres");
    let store = migrated(&url, UserIdType::Bigint).await;
    let mut app = AsyncPgConnection::establish(&url).await.unwrap();
    app.batch_execute(FILL).await.unwrap();
    app.batch_execute(
        "UPDATE aggregation_queue SET state = 'dead', not_before = 'infinity' WHERE raw_ids[1] % 4 = 0;
         UPDATE aggregation_queue SET attempts = 1, not_before = now() + interval '1 minute'
         WHERE raw_ids[1] % 1000 = 1;
         UPDATE aggregation_queue SET not_before = now() + interval '400 days' WHERE raw_ids[1] % 1000 = 2",
    )
    .await
    .unwrap();
    drop(app);
    assert_eq!(store.date_back(Duration::from_secs(3_600)).await.unwrap(), 20);
    let mut observer = AsyncPgConnection::establish(&url).await.unwrap();
    others_left(&mut observer, 1).await;
    observer.batch_execute("SELECT pg_stat_reset()").await.unwrap();
    for _ in 0..8 {
        assert_eq!(store.date_back(Duration::from_secs(3_600)).await.unwrap(), 0);
    }
    drop(store);
    others_left(&mut observer, 0).await;

    // Each time, the 20 in back-off are read, and dead versions left by updates of others.
    let read = rows_read(&mut observer, "aggregation_queue").await;
    assert!(read < 8 * 50, "{read} rows read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_beside_another_leaves_that_one_its_rows() {
    let server = start(&[]);
    let url = server.url("postgres");
    let store = migrated(&url, UserIdType::Bigint).await;
    let mut app = AsyncPgConnection::establish(&url).await.unwrap();
    for user in 1..=4 {
        // 200 rows in four change sets.
        let sets = format!(
            "INSERT INTO aggregation_queue (user_id, kind, starts_at, raw_ids, ends_at, not_before)
             SELECT {user}, 'vitals', at, array_agg(n), at, '2024-06-01 00:0{user}'
             FROM generate_series(1, 200) AS n,
                  LATERAL (SELECT timestamptz '2024-01-01' + (n - 1) / 50 * interval '1 hour' AS at) AS t
             GROUP BY at"
        );
        app.batch_execute(&sets).await.unwrap();
    }
    // The locks of an uncommitted claim.
    let claimed = "BEGIN; SELECT FROM aggregation_queue WHERE user_id = 1 FOR UPDATE";
    app.batch_execute(claimed).await.unwrap();
    let expected = [(ClaimFrom::Oldest, 2), (ClaimFrom::Newest, 4), (ClaimFrom::Oldest, 3)];
    for (from, user) in expected {
        store.require_full_scan();
        assert_eq!(users(claim(&store, &from).await), vec![UserId::from(user); 200], "{from:?}");
    }
    for from in ENDS {
        assert!(claim(&store, &from).await.is_none(), "{from:?}");
    }
    app.batch_execute("ROLLBACK").await.unwrap();
    store.require_full_scan();
    assert_eq!(users(claim(&store, &ClaimFrom::Oldest).await), vec![UserId::from(1); 200]);
}

/// The user of each claimed raw row.
fn users(claim: Option<Claim>) -> Vec<UserId> {
    let sets = claim.into_iter().flat_map(|claim| claim.sets);
    sets.flat_map(|set| vec![set.user_id.clone(); set.rows.len()]).collect()
}

/// Ends a transaction that blocks another session, a second later.
async fn opened(app: &mut AsyncPgConnection) {
    let waiting = "SELECT count(*) AS n FROM pg_locks WHERE NOT granted";
    while count(app, waiting).await == 0 {}
    app.batch_execute("SELECT pg_sleep(1); COMMIT").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_long_look_what_is_new_comes_first_and_what_is_old_is_not_forgotten() {
    let server = start(&[]);
    let url = server.url("postgres");
    let store = migrated(&url, UserIdType::Bigint).await;
    let mut app = AsyncPgConnection::establish(&url).await.unwrap();
    let due_since = |user: i64, interval: &str| {
        format!(
            "INSERT INTO aggregation_queue (user_id, kind, starts_at, raw_ids, ends_at, not_before)
             VALUES ({user}, 'vitals', now(), '{{1}}', now(), now() - interval '{interval}')"
        )
    };

    // While another session locks the table, the claim is slow.
    app.batch_execute("BEGIN; LOCK TABLE aggregation_queue").await.unwrap();
    let (found, ()) = tokio::join!(claim(&store, &ClaimFrom::Oldest), opened(&mut app));
    assert!(found.is_none());

    app.batch_execute(&due_since(1, "1 hour")).await.unwrap();
    assert!(
        claim(&store, &ClaimFrom::Oldest).await.is_none(),
        "it is older than what is looked at"
    );
    app.batch_execute(&due_since(2, "1 second")).await.unwrap();
    assert_eq!(claim(&store, &ClaimFrom::Oldest).await.unwrap().row_count(), 1);
    assert!(claim(&store, &ClaimFrom::Oldest).await.is_none());
    assert!(store.require_full_scan());
    assert_eq!(claim(&store, &ClaimFrom::Oldest).await.unwrap().row_count(), 1);
    assert!(!store.require_full_scan());

    // All rows of one insert are due at the same time; none is skipped.
    app.batch_execute(FILL).await.unwrap();
    app.batch_execute("BEGIN; LOCK TABLE aggregation_queue").await.unwrap();
    let (found, ()) = tokio::join!(claim(&store, &ClaimFrom::Oldest), opened(&mut app));
    assert_eq!(found.unwrap().row_count(), 200);
    for _ in 0..20 {
        assert_eq!(claim(&store, &ClaimFrom::Oldest).await.unwrap().row_count(), 200);
        assert!(store.any_due().await.unwrap());
    }
}
