//! Inserts heart rates, and asserts that all of them are in the figures.

use super::Database;

/// Inserts heart rates of the users `1..=users`, one a minute from 10:00 UTC on 2024-05-01, in
/// interleaved order.
pub async fn insert_samples(db: &Database, users: u32, each: u32) {
    db.execute(&format!(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT u, 'heart_rate', 60 + (u + r) % 40, 'bpm', 'watch', at, at
         FROM generate_series(1, {each}) AS r, generate_series(1, {users}) AS u,
              LATERAL (SELECT timestamptz '2024-05-01 10:00Z' + r * interval '1 minute' AS at) AS t
         ORDER BY r, u"
    ))
    .await;
}

/// Inserts samples of the users `1..=users` at this minute after 10:00 UTC on 2024-05-01.
pub async fn insert_minute(db: &Database, users: u32, minute: u32) {
    db.execute(&format!(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT u, 'heart_rate', 60 + (u + {minute}) % 40, 'bpm', 'watch', at, at
         FROM generate_series(1, {users}) AS u,
              (SELECT timestamptz '2024-05-01 10:00Z' + interval '{minute} minutes' AS at) AS t"
    ))
    .await;
}

/// Asserts that every raw row is in the figures once, in its current state, and that the queue is empty.
pub async fn assert_all_done(db: &Database) {
    let queued: i64 = db.value("SELECT count(*) FROM aggregation_queue").await;
    assert_eq!(queued, 0, "rows in the queue");
    let wrong = db
        .query(
            "SELECT user_id, local_date, raw.n::text, day.sample_count, raw.mean, day.mean
             FROM (SELECT user_id, (started_at AT TIME ZONE 'UTC')::date AS local_date,
                          count(*) AS n, avg(value) AS mean, min(value) AS min, max(value) AS max
                   FROM vitals_raw GROUP BY 1, 2) AS raw
             FULL JOIN vitals_daily AS day USING (user_id, local_date)
             WHERE raw.n IS DISTINCT FROM day.sample_count OR raw.min IS DISTINCT FROM day.min
                OR raw.max IS DISTINCT FROM day.max OR (abs(raw.mean - day.mean) < 1e-9) IS NOT TRUE",
            &[],
        )
        .await;
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The number of pending raw rows that look as if no worker had ever claimed them.
pub async fn untouched(db: &Database) -> i64 {
    db.value(
        "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue
         WHERE state = 'pending' AND attempts = 0 AND lease_token IS NULL
           AND lease_expires_at IS NULL AND not_before <= now() AND last_error IS NULL",
    )
    .await
}
