//! A statement packs the rows that it changes into change sets.

use futures_util::SinkExt;

use crate::support::Database;

/// 60 heart rates of a user with a metric, one a minute from 10:00 UTC on 2024-05-01, for each of the columns
/// that divide change sets.
const PACKED: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at, time_zone, is_daily_total)
    SELECT u, metric, 60, unit, 'watch', at, at + ends, zone, whole_day
    FROM generate_series(0, 59) AS n, generate_series(1, 2) AS u,
         (VALUES ('heart_rate', 'bpm', interval '0'), ('steps', 'count', '1 min')) AS of (metric, unit, ends),
         (VALUES (NULL, false), ('Asia/Tokyo', false), (NULL, true)) AS rows (zone, whole_day),
         LATERAL (SELECT timestamptz '2024-05-01 10:00Z' + n * interval '1 min' AS at) AS t
    ORDER BY n, u";

/// Each change set in a line: whose it is, how many raw rows it has, its span in UTC, and whether its rows have
/// starts and ends of their own.
async fn sets(db: &Database) -> Vec<String> {
    let sql = "SELECT concat_ws(' ', kind, user_id, metric, time_zone, CASE WHEN whole_day THEN 'total' END,
                                cardinality(raw_ids), to_char(starts_at AT TIME ZONE 'UTC', 'DD.HH24:MI'),
                                to_char(ends_at AT TIME ZONE 'UTC', 'DD.HH24:MI'),
                                CASE WHEN row_starts IS NOT NULL THEN 'starts' END,
                                CASE WHEN row_ends IS NOT NULL THEN 'ends' END) COLLATE \"C\"
               FROM aggregation_queue ORDER BY 1";
    db.query(sql, &[]).await.iter().map(|row| row.get(0)).collect()
}

/// Every raw row of vitals is in one change set of its user, metric, zone and kind of row, with its times, and
/// each set spans those of its rows.
async fn assert_packed(db: &Database) {
    let wrong: i64 = db
        .value(
            "WITH queued AS (
                 SELECT q.*, r.raw_id, coalesce(r.starts_at, q.starts_at) AS row_start,
                        CASE WHEN r.starts_at IS NULL THEN q.ends_at ELSE coalesce(r.ends_at, r.starts_at) END AS row_end
                 FROM aggregation_queue AS q, unnest(raw_ids, row_starts, row_ends) AS r (raw_id, starts_at, ends_at)
             )
             SELECT count(*)
             FROM vitals_raw AS raw FULL JOIN queued ON queued.user_id = raw.user_id AND queued.raw_id = raw.id
             WHERE (queued.metric, queued.whole_day, row_start, row_end)
                       IS DISTINCT FROM (raw.metric, raw.is_daily_total, raw.started_at, raw.ended_at)
                OR queued.time_zone IS DISTINCT FROM raw.time_zone
                OR queued.starts_at > row_start OR queued.ends_at < row_end OR cardinality(queued.raw_ids) > 50",
        )
        .await;
    assert_eq!(wrong, 0);
    let rows: i64 = db.value("SELECT sum(cardinality(raw_ids)) FROM aggregation_queue").await;
    assert_eq!(rows, db.value::<i64>("SELECT count(*) FROM vitals_raw").await);
}

#[tokio::test]
async fn a_statement_packs_what_it_changed_into_sets_of_50_rows_of_a_user_metric_and_zone() {
    let db = Database::new().await;
    db.execute(PACKED).await;

    let mut expected = Vec::new();
    for user in [1, 2] {
        for (metric, first, second) in [
            ("heart_rate", "50 01.10:00 01.10:49 starts", "10 01.10:50 01.10:59 starts"),
            ("steps", "50 01.10:00 01.10:50 starts ends", "10 01.10:50 01.11:00 starts ends"),
        ] {
            for division in ["", "Asia/Tokyo ", "total "] {
                for set in [first, second] {
                    expected.push(format!("vitals {user} {metric} {division}{set}"));
                }
            }
        }
    }
    expected.sort();
    assert_eq!(sets(&db).await, expected);
    assert_packed(&db).await;
    db.run_once();
    assert_eq!(db.value::<i64>("SELECT count(*) FROM aggregation_queue").await, 0);
    assert_eq!(db.run(&["verify"]).code, 0);
}

#[tokio::test]
async fn updates_deletes_and_truncate_pack_as_inserts_do() {
    let db = Database::new().await;
    db.execute(PACKED).await;
    for (statement, expected) in [
        ("UPDATE vitals_raw SET value = 61 WHERE user_id = 1 AND metric = 'heart_rate' AND NOT is_daily_total",
         &["vitals 1 heart_rate 10 01.10:50 01.10:59 starts",
           "vitals 1 heart_rate 50 01.10:00 01.10:49 starts",
           "vitals 1 heart_rate Asia/Tokyo 10 01.10:50 01.10:59 starts",
           "vitals 1 heart_rate Asia/Tokyo 50 01.10:00 01.10:49 starts"][..]),
        // The times before and after.
        ("UPDATE vitals_raw SET started_at = started_at + interval '1 day', ended_at = ended_at + interval '1 day'
          WHERE user_id = 1 AND metric = 'heart_rate' AND time_zone IS NOT NULL",
         &["vitals 1 heart_rate Asia/Tokyo 20 02.10:40 02.10:59 starts",
           "vitals 1 heart_rate Asia/Tokyo 50 01.10:00 01.10:49 starts",
           "vitals 1 heart_rate Asia/Tokyo 50 01.10:50 02.10:39 starts"]),
        ("UPDATE vitals_raw SET user_id = 3 WHERE user_id = 1 AND metric = 'heart_rate' AND time_zone IS NOT NULL",
         &["vitals 1 heart_rate Asia/Tokyo 10 02.10:50 02.10:59 starts",
           "vitals 1 heart_rate Asia/Tokyo 50 02.10:00 02.10:49 starts",
           "vitals 3 heart_rate Asia/Tokyo 10 02.10:50 02.10:59 starts",
           "vitals 3 heart_rate Asia/Tokyo 50 02.10:00 02.10:49 starts"]),
        ("DELETE FROM vitals_raw WHERE user_id = 2 AND metric = 'steps' AND is_daily_total",
         &["vitals 2 steps total 10 01.10:50 01.11:00 starts ends",
           "vitals 2 steps total 50 01.10:00 01.10:50 starts ends"]),
    ] {
        db.execute("TRUNCATE aggregation_queue").await;
        db.execute(statement).await;
        assert_eq!(sets(&db).await, expected, "{statement}");
    }
    db.execute("TRUNCATE aggregation_queue; CREATE TABLE former AS TABLE vitals_raw").await;
    db.execute("TRUNCATE vitals_raw").await;
    let rows: i64 = db.value("SELECT sum(cardinality(raw_ids)) FROM aggregation_queue").await;
    assert_eq!(rows, db.value::<i64>("SELECT count(*) FROM former").await);
    let most: i32 = db.value("SELECT max(cardinality(raw_ids)) FROM aggregation_queue").await;
    assert_eq!(most, 50);
}

#[tokio::test]
async fn a_row_alone_needs_no_arrays_of_times() {
    let db = Database::new().await;
    for (statement, expected) in [
        (
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
          VALUES (1, 'steps', 60, 'count', 'watch', '2024-05-01 10:00Z', '2024-05-01 11:00Z')",
            "vitals 1 steps 1 01.10:00 01.11:00",
        ),
        ("DELETE FROM vitals_raw", "vitals 1 steps 1 01.10:00 01.11:00"),
        (
            "INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source)
          VALUES (1, '', 'lunch', '2024-05-01 10:00Z', '')",
            "nutrition 1 1 01.10:00 01.10:00",
        ),
        (
            "INSERT INTO lab_raw (user_id, test_name, value_text, status, collected_at, source)
          VALUES (1, '', '', 'final', '2024-05-01 10:00Z', '')",
            "labs 1 1 01.10:00 01.10:00",
        ),
    ] {
        db.execute("TRUNCATE aggregation_queue").await;
        db.execute(statement).await;
        assert_eq!(sets(&db).await, [expected], "{statement}");
    }
}

#[tokio::test]
async fn a_copy_of_ten_thousand_rows_is_packed_and_every_row_is_computed() {
    let db = Database::new().await;
    // Ten users who take turns, a row a second each.
    let mut lines = String::new();
    for n in 0..10_000 {
        let (user, minute, second) = (n % 10, n / 600, n / 10 % 60);
        let at = format!("2024-05-01 10:{minute:02}:{second:02}Z");
        lines.push_str(&format!("{user}\theart_rate\t60\tbpm\twatch\t{at}\t{at}\n"));
    }
    let copy =
        "COPY vitals_raw (user_id, metric, value, unit, source, started_at, ended_at) FROM STDIN";
    let mut sink = Box::pin(db.client.copy_in(copy).await.unwrap());
    sink.send(std::io::Cursor::new(lines.into_bytes())).await.unwrap();
    assert_eq!(sink.as_mut().finish().await.unwrap(), 10_000);

    assert_packed(&db).await;
    assert_eq!(db.value::<i64>("SELECT count(*) FROM aggregation_queue").await, 200);
    assert_eq!(db.run_once()["rows_completed"], 10_000);
    assert_eq!(db.run(&["verify"]).code, 0);
}

#[tokio::test]
async fn texts_of_a_megabyte_make_no_large_set() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at, time_zone)
         SELECT 1, repeat('x', 100000), 60, 'bpm', 'watch', at, at, repeat('y', 1000000)
         FROM generate_series(1, 60) AS n, LATERAL (SELECT timestamptz '2024-05-01' + n * interval '1 s' AS at) AS t",
    )
    .await;
    let sets = "SELECT string_agg(concat_ws(' ', cardinality(raw_ids), length(metric), length(time_zone)), ', '
                                  ORDER BY starts_at) FROM aggregation_queue";
    assert_eq!(db.value::<String>(sets).await, "50 1025 1025, 10 1025 1025");
    let run = db.run_once();
    assert_eq!((&run["rows_rejected"], &run["groups_failed"]), (&60.into(), &0.into()), "{run}");
}
