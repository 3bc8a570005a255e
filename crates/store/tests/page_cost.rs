//! The page's questions read a bounded number of change sets, however long the queue is.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/reads.rs"]
mod reads;
mod support;

use std::time::Duration;

use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use reads::{count, others_left, rows_read};
use store::{FailureFilter, Store};
use support::{start, store};

/// 60,000 change sets that wait, 4,000 that failed, of which half are dead, and 3,000 rejected raw rows.
const FILL: &str = "
    INSERT INTO aggregation_queue (kind, user_id, starts_at, ends_at, raw_ids, not_before, queued_at)
    SELECT 'vitals', n % 500, '2024-05-01', '2024-05-01', ARRAY[n], now() - n * interval '1 ms', now()
    FROM generate_series(1, 60000) AS n;
    INSERT INTO aggregation_queue (kind, user_id, starts_at, ends_at, raw_ids, not_before, attempts, state, last_error)
    SELECT 'vitals', n % 500, '2024-05-01', '2024-05-01', ARRAY[n],
           CASE WHEN n % 2 = 0 THEN 'infinity' ELSE now() + interval '1 hour' END, 5,
           CASE WHEN n % 2 = 0 THEN 'dead' ELSE 'pending' END, 'timeout 57014'
    FROM generate_series(1, 4000) AS n;
    INSERT INTO rejected_rows (user_id, kind, raw_id, reason)
    SELECT n % 500, 'vitals', n, 'unknown_unit' FROM generate_series(1, 3000) AS n;";

/// States of the server's statistics: none, right ones, and those of an empty queue.
const STATISTICS: [(&str, &str); 3] = [("", ""), ("", "ANALYZE"), ("VACUUM ANALYZE", "")];

/// Asks a question, and returns the change sets that the server read for it.
async fn read_by(url: &str, observer: &mut AsyncPgConnection, ask: impl AsyncFn(Store)) -> i64 {
    diesel_async::RunQueryDsl::execute(diesel::sql_query("SELECT pg_stat_reset()"), observer)
        .await
        .unwrap();
    ask(store(url).await).await;
    others_left(observer, 0).await;
    let scanned =
        "SELECT seq_scan AS n FROM pg_stat_user_tables WHERE relname = 'aggregation_queue'";
    assert_eq!(count(observer, scanned).await, 0, "the whole queue was read");
    rows_read(observer, "aggregation_queue").await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_question_of_the_page_reads_the_queue_as_a_whole() {
    let server = start(&[("autovacuum", "off")]);
    let mut admin = AsyncPgConnection::establish(&server.url("postgres")).await.unwrap();
    for (place, (before, behind)) in STATISTICS.into_iter().enumerate() {
        let database = format!("statistics{place}");
        admin.batch_execute(&format!("CREATE DATABASE {database}")).await.unwrap();
        let url = server.url(&database);
        let migrating = store(&url).await;
        store::migrate(&migrating, Duration::from_secs(10)).await.unwrap();
        drop(migrating);
        let mut observer = AsyncPgConnection::establish(&url).await.unwrap();
        for sql in [before, FILL, behind] {
            observer.batch_execute(sql).await.unwrap();
        }
        others_left(&mut observer, 0).await;
        let failed = FailureFilter { kind: Some("vitals".to_owned()), ..FailureFilter::default() };
        let none = FailureFilter { class: Some("internal".to_owned()), ..failed.clone() };
        let everything = FailureFilter::default();

        // Of a kind, as many are counted before infinity as at it.
        let read = read_by(&url, &mut observer, async |store| {
            let kinds = store.count_kinds(1_000).await.unwrap();
            assert!(kinds[0].is_capped && kinds[0].pending == 1_000, "{kinds:?}");
        });
        let read = read.await;
        assert!((2_000..=2_100).contains(&read), "statistics {place}: {read} sets to count kinds");
        let read = read_by(&url, &mut observer, async |store| {
            assert_eq!(store.failures().await.unwrap()[0].rows, 4_000);
        });
        let read = read.await;
        assert!((4_000..=4_100).contains(&read), "statistics {place}: {read} sets for failures");
        for filter in [&failed, &everything] {
            let read = read_by(&url, &mut observer, async |store| {
                assert_eq!(store.count_failures(filter, 1_000).await.unwrap(), (1_000, true));
            });
            let read = read.await;
            assert!((1_000..=4_100).contains(&read), "statistics {place}: {read} sets to count");
        }
        let read = read_by(&url, &mut observer, async |store| {
            assert_eq!(store.count_failures(&none, 1_000).await.unwrap(), (0, false));
        });
        let read = read.await;
        assert!(read <= 4_100, "statistics {place}: {read} sets for a cause that there is not");
        // A step updates its 500 sets by their places.
        let read = read_by(&url, &mut observer, async |store| {
            assert_eq!(store.requeue_failures(&failed).await.unwrap(), 500);
        });
        let read = read.await;
        assert!(read <= 5_200, "statistics {place}: {read} sets for a step of 500");
        let read = read_by(&url, &mut observer, async |store| {
            store.rejected().await.unwrap();
            store.workers().await.unwrap();
            store.server().await.unwrap();
            store.firing_alerts().await.unwrap();
            store.operator_actions(50).await.unwrap();
            store.runs(50).await.unwrap();
            store.paused().await.unwrap();
            store.throttle().await.unwrap();
        });
        assert_eq!(read.await, 0, "statistics {place}");
    }
}
