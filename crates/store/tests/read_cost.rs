//! A group reads the raw rows and figures that it needs, and skips the user's others.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/reads.rs"]
mod reads;
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use aggregation::catalogue::Catalogue;
use aggregation::local_time::anywhere_on_earth;
use aggregation::sleep::SleepScope;
use aggregation::vitals::Scope;
use aggregation::vitals::scope::MetricScope;
use aggregation::{Kind, UserId, UserIdType};
use chrono::NaiveDate;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use reads::{others_left, rows_read};
use store::{EndedDays, FutureRows};
use support::{migrated, start, store, user_of};

/// Two users with rows of some metrics, each every ten minutes for 70 days.
const FILL: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT user_of(u), metric, 1, '1', 'watch', at, at
    FROM generate_series(1, 2) AS u, generate_series(0, 10000) AS n,
         unnest(ARRAY['heart_rate', 'blood_glucose', 'sleep_deep']) AS metric,
         LATERAL (SELECT timestamptz '2024-03-01' + n * interval '10 minutes' AS at) AS t;";

/// Their figures, 24 hours a day.
const FIGURES: &str = "
    INSERT INTO vitals_daily (user_id, local_date, metric, unit, sample_count, censored_count,
        rejected_count, sources, time_zone, day_start, day_end, is_partial, context_fingerprint,
        algorithm_version)
    SELECT user_of(u), day, metric, '1', 1, 0, 0, '{}', 'UTC', day, day + 1, false, 0, 1
    FROM generate_series(1, 2) AS u, unnest(ARRAY['heart_rate', 'hrv_rmssd']) AS metric,
         generate_series(0, 99) AS n, LATERAL (SELECT date '2024-03-01' + n AS day) AS days;
    INSERT INTO vitals_hourly (user_id, local_date, metric, hour_start, unit, sample_count,
        censored_count, rejected_count, sources, time_zone)
    SELECT user_id, local_date, metric, day_start + n * interval '1 hour', '1', 1, 0, 0, '{}', 'UTC'
    FROM vitals_daily, generate_series(0, 23) AS n;";

/// States of the server's statistics.
const STATISTICS: [(&str, &str, &str); 3] =
    [("true", "", "ANALYZE"), ("none", "", ""), ("those of empty tables", "VACUUM ANALYZE", "")];

#[tokio::test(flavor = "multi_thread")]
async fn a_group_reads_the_rows_of_its_dates_however_many_the_user_has() {
    let server = start(&[("autovacuum", "off")]);
    let mut admin = AsyncPgConnection::establish(&server.url("postgres")).await.unwrap();
    let cases = STATISTICS.into_iter().flat_map(|of| UserIdType::ALL.map(|id_type| (of, id_type)));
    let cases = cases.filter(|((of, ..), id_type)| *id_type == UserIdType::Bigint || *of == "none");
    for (place, ((statistics, before, behind), id_type)) in cases.enumerate() {
        let database = format!("statistics{place}");
        admin.batch_execute(&format!("CREATE DATABASE {database}")).await.unwrap();
        let url = server.url(&database);
        let store = migrated(&url, id_type).await;
        let mut app = AsyncPgConnection::establish(&url).await.unwrap();
        for sql in [before, FILL, FIGURES, behind] {
            app.batch_execute(sql).await.unwrap();
        }
        // The server counts a session's reads when the session ends.
        drop(app);
        let mut observer = AsyncPgConnection::establish(&url).await.unwrap();
        others_left(&mut observer, 1).await;
        observer.batch_execute("SELECT pg_stat_reset()").await.unwrap();

        let date: NaiveDate = "2024-04-01".parse().unwrap();
        let user = user_of(id_type, 1);
        let mut group = store.begin_group(Kind::Vitals, &user).await.unwrap();
        let span = [anywhere_on_earth(date)];
        let glucose = group.read_vitals_that_start(&["blood_glucose"], &span).await.unwrap();
        let sleep = group.read_sleep(&SleepScope::of_dates(BTreeSet::from([date]))).await.unwrap();
        let read = glucose.iter().chain(sleep.rows.values()).map(Vec::len).sum::<usize>() as i64;
        assert!(read > 300, "{read} rows");
        let dates = BTreeSet::from([date]);
        let scope = MetricScope { dates, ..MetricScope::default() };
        let scope = Scope::from([("heart_rate".to_owned(), scope)]);
        let catalogue = Catalogue::built_in().unwrap();
        let stored = group.read_vitals(&scope, &catalogue).await.unwrap().unwrap();
        assert_eq!(stored["heart_rate"].hours.len(), 24);
        group.commit().await.unwrap();
        drop(store);
        others_left(&mut observer, 0).await;

        for (table, of_date) in [("vitals_daily", 5), ("vitals_hourly", 24)] {
            let passed = rows_read(&mut observer, table).await;
            assert!(
                passed <= of_date,
                "statistics: {statistics}, {id_type}; {passed} rows of {table}"
            );
        }
        let passed = rows_read(&mut observer, "vitals_raw").await;
        // Rows of sleep that begin up to two days before, and may reach into the date, are read too.
        assert!(
            passed < 2 * read,
            "statistics: {statistics}, {id_type}; {passed} rows were read for {read}"
        );
    }
}

/// The rows of a whole date in Tokyo that a group reads.
async fn rows_of_a_whole_date(store: &store::Store) -> usize {
    let catalogue = Catalogue::built_in().unwrap();
    let dates = BTreeSet::from(["2024-04-01".parse().unwrap()]);
    let whole = MetricScope { whole_dates: dates.clone(), dates, ..MetricScope::default() };
    let mut scope = Scope::from([("heart_rate".to_owned(), whole)]);
    let mut group = store.begin_group(Kind::Vitals, &UserId::from(1)).await.unwrap();
    let zone = "Asia/Tokyo".parse().unwrap();
    group.narrow_whole_dates(&mut scope, &catalogue, zone).await.unwrap();
    let read = group.read_vitals(&scope, &catalogue).await.unwrap().unwrap();
    group.commit().await.unwrap();
    read["heart_rate"].rows.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_date_takes_in_the_hours_around_it_only_where_a_row_names_another_zone() {
    let server = start(&[]);
    let url = server.url("postgres");
    let store = migrated(&url, UserIdType::Bigint).await;
    let mut app = AsyncPgConnection::establish(&url).await.unwrap();
    app.batch_execute(FILL).await.unwrap();
    assert_eq!(rows_of_a_whole_date(&store).await, 24 * 6);
    let name_zone = |zone: &str, at: &str| {
        format!(
            "UPDATE vitals_raw SET time_zone = '{zone}'
             WHERE user_id = 1 AND metric = 'heart_rate' AND started_at = '{at}'"
        )
    };
    for (zone, at, hours) in [
        ("Asia/Tokyo", "2024-04-01 10:00Z", 24),
        ("Pacific/Honolulu", "2024-03-30 10:00Z", 24),
        ("Pacific/Honolulu", "2024-04-02 09:50Z", 24 + 32),
    ] {
        app.batch_execute(&name_zone(zone, at)).await.unwrap();
        assert_eq!(rows_of_a_whole_date(&store).await, hours * 6, "{zone} at {at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn marking_ended_days_and_counting_rows_of_the_future_read_no_other_days() {
    let server = start(&[("autovacuum", "off")]);
    let mut admin = AsyncPgConnection::establish(&server.url("postgres")).await.unwrap();
    for (place, (statistics, before, behind)) in STATISTICS.into_iter().enumerate() {
        let database = format!("ends{place}");
        admin.batch_execute(&format!("CREATE DATABASE {database}")).await.unwrap();
        let url = server.url(&database);
        let store = store(&url).await;
        store::migrate(&store, Duration::from_secs(10)).await.unwrap();
        let mut app = AsyncPgConnection::establish(&url).await.unwrap();
        // 30 days that have ended, 100 of today and 20 of the next week, among 20,000.
        let days = "
            INSERT INTO vitals_daily (user_id, local_date, metric, unit, sample_count, censored_count,
                rejected_count, sources, time_zone, day_start, day_end, is_partial, future_count,
                context_fingerprint, algorithm_version)
            SELECT n, day::date, 'heart_rate', '1', 1, 0, 0, '{}', 'UTC', day, day + interval '1 day',
                   n < 150, (n < 20)::integer, 0, 1
            FROM generate_series(0, 19999) AS n,
                 LATERAL (SELECT now() + CASE WHEN n < 20 THEN interval '7 days'
                                              WHEN n < 120 THEN interval '-23 hours'
                                              ELSE interval '-30 hours' END AS day) AS days";
        for sql in [before, days, behind] {
            app.batch_execute(sql).await.unwrap();
        }
        drop(app);
        let mut observer = AsyncPgConnection::establish(&url).await.unwrap();
        others_left(&mut observer, 1).await;
        observer.batch_execute("SELECT pg_stat_reset()").await.unwrap();
        assert_eq!(store.future_rows().await.unwrap(), FutureRows { rows: 20, users: 20 });
        let first = store.mark_ended_days().await.unwrap();
        assert_eq!(first, EndedDays { rows: 30, has_more: false });
        for _ in 0..8 {
            assert_eq!(store.mark_ended_days().await.unwrap().rows, 0);
        }
        drop(store);
        others_left(&mut observer, 0).await;
        let read = rows_read(&mut observer, "vitals_daily").await;
        // Each of the 30 is found, and then changed by its place.
        assert!(read <= 20 + 2 * 30, "statistics: {statistics}; {read} rows");
    }
}
