//! A group reads the raw rows and figures that it asks for, and passes by none of the user's others.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/reads.rs"]
mod reads;
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use aggregation::Kind;
use aggregation::catalogue::Catalogue;
use aggregation::local_time::anywhere_on_earth;
use aggregation::sleep::SleepScope;
use aggregation::vitals::Scope;
use aggregation::vitals::scope::MetricScope;
use chrono::NaiveDate;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use reads::{others_left, rows_read};
use support::{start, store};

/// Two users with rows of some metrics, each every ten minutes for 70 days.
const FILL: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT u, metric, 1, '1', 'watch', at, at
    FROM generate_series(1, 2) AS u, generate_series(0, 10000) AS n,
         unnest(ARRAY['heart_rate', 'blood_glucose', 'sleep_deep']) AS metric,
         LATERAL (SELECT timestamptz '2024-03-01' + n * interval '10 minutes' AS at) AS t;";

/// Their figures, 24 hours a day.
const FIGURES: &str = "
    INSERT INTO vitals_daily (user_id, local_date, metric, unit, sample_count, censored_count,
        rejected_count, sources, time_zone, day_start, day_end, is_partial, context_fingerprint,
        algorithm_version)
    SELECT u, day, metric, '1', 1, 0, 0, '{}', 'UTC', day, day + 1, false, 0, 1
    FROM generate_series(1, 2) AS u, unnest(ARRAY['heart_rate', 'hrv_rmssd']) AS metric,
         generate_series(0, 99) AS n, LATERAL (SELECT date '2024-03-01' + n AS day) AS days;
    INSERT INTO vitals_hourly (user_id, local_date, metric, hour_start, unit, sample_count,
        censored_count, rejected_count, sources, time_zone)
    SELECT user_id, local_date, metric, day_start + n * interval '1 hour', '1', 1, 0, 0, '{}', 'UTC'
    FROM vitals_daily, generate_series(0, 23) AS n;";

/// What the server's statistics may say.
const STATISTICS: [(&str, &str, &str); 3] =
    [("true", "", "ANALYZE"), ("none", "", ""), ("those of empty tables", "VACUUM ANALYZE", "")];

#[tokio::test(flavor = "multi_thread")]
async fn a_group_reads_the_rows_of_its_dates_however_many_the_user_has() {
    let server = start(&[("autovacuum", "off")]);
    let mut admin = AsyncPgConnection::establish(&server.url("postgres")).await.unwrap();
    for (place, (statistics, before, behind)) in STATISTICS.into_iter().enumerate() {
        let database = format!("statistics{place}");
        admin.batch_execute(&format!("CREATE DATABASE {database}")).await.unwrap();
        let url = server.url(&database);
        let store = store(&url).await;
        store::migrate(&store, Duration::from_secs(10)).await.unwrap();
        let mut observer = AsyncPgConnection::establish(&url).await.unwrap();
        observer.batch_execute(before).await.unwrap();
        observer.batch_execute(FILL).await.unwrap();
        observer.batch_execute(FIGURES).await.unwrap();
        observer.batch_execute(behind).await.unwrap();
        observer.batch_execute("SELECT pg_stat_reset()").await.unwrap();

        let date: NaiveDate = "2024-04-01".parse().unwrap();
        let mut group = store.begin_group(Kind::Vitals, 1).await.unwrap();
        let span = [anywhere_on_earth(date)];
        let glucose = group.read_vitals_that_start(&["blood_glucose"], &span).await.unwrap();
        let sleep = group.read_sleep(&SleepScope::of_dates(BTreeSet::from([date]))).await.unwrap();
        let read = glucose.iter().chain(sleep.rows.values()).map(Vec::len).sum::<usize>() as i64;
        assert!(read > 300, "{read} rows");
        let dates = BTreeSet::from([date]);
        let scope = MetricScope { dates, ..MetricScope::default() };
        let scope = Scope::from([("heart_rate".to_owned(), scope)]);
        let stored = group.read_vitals(&scope, &Catalogue::built_in().unwrap()).await.unwrap();
        assert_eq!(stored["heart_rate"].hours.len(), 24);
        group.commit().await.unwrap();
        drop(store);
        others_left(&mut observer, 0).await;

        for (table, of_date) in [("vitals_daily", 5), ("vitals_hourly", 24)] {
            let passed = rows_read(&mut observer, table).await;
            assert!(passed <= of_date, "statistics: {statistics}; {passed} rows of {table}");
        }
        let passed = rows_read(&mut observer, "vitals_raw").await;
        // Rows of sleep that begin up to two days before, and may reach into the date, are looked at.
        assert!(passed < 2 * read, "statistics: {statistics}; {passed} rows were read for {read}");
    }
}
