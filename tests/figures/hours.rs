//! Sums over `vitals_hourly` are `vitals_daily`, on days of any length.

use super::{lines, user_in};
use crate::support::Database;

/// Days that are no sum of their hours. PostgreSQL adds in the order that it is told, so totals
/// and sums agree to the last bit; means are of another order of operations.
const DAYS_THAT_DIFFER: &str = "
    WITH hours AS (
        SELECT user_id, local_date, metric,
               sum(sample_count) AS sample_count, sum(censored_count) AS censored_count,
               sum(rejected_count) AS rejected_count, sum(total ORDER BY hour_start) AS total,
               sum(sum ORDER BY hour_start) / nullif(sum(sample_count), 0) AS mean,
               sum(sample_count * mean) / nullif(sum(sample_count), 0) AS weighed,
               min(min) AS min, max(max) AS max, min(first_at) AS first_at, max(last_at) AS last_at,
               min(hour_start) AS first_hour, max(hour_start) AS last_hour
        FROM vitals_hourly GROUP BY 1, 2, 3
    ), sources AS (
        SELECT user_id, local_date, metric, jsonb_object_agg(source, samples) AS sources
        FROM (SELECT user_id, local_date, metric, source, sum(samples::integer) AS samples
              FROM vitals_hourly, jsonb_each_text(sources) AS of_hour (source, samples)
              GROUP BY 1, 2, 3, 4) AS of_source
        GROUP BY 1, 2, 3
    )
    SELECT concat_ws(' ', user_id, local_date, metric, d.total, h.total, d.mean, h.mean)
    FROM vitals_daily AS d
    FULL JOIN hours AS h USING (user_id, local_date, metric)
    LEFT JOIN sources AS s USING (user_id, local_date, metric)
    WHERE NOT coalesce(
        d.sample_count = h.sample_count AND d.censored_count = h.censored_count
        AND d.rejected_count = h.rejected_count
        AND d.sources = coalesce(s.sources, '{}')
        AND float8send(coalesce(d.total, -1)) = float8send(coalesce(h.total, -1))
        AND (d.metric = 'steps' OR coalesce(float8send(d.mean) = float8send(h.mean), d.mean IS NULL AND h.mean IS NULL))
        AND coalesce(abs(d.mean - h.weighed) <= 1e-12 * d.mean, d.mean IS NULL AND h.weighed IS NULL)
        AND (d.min, d.max, d.first_at, d.last_at)
            IS NOT DISTINCT FROM (h.min, h.max, h.first_at, h.last_at)
        AND h.first_hour >= d.day_start AND h.last_hour < d.day_end, false)
    ORDER BY 1";

/// Two and a half days of steps and heart rates around an instant. Intervals of 7 and 11 minutes
/// cross all hours, and the sources overlap; some samples are bounds, some cannot be used.
async fn live(db: &Database, around: &str) {
    db.execute(&format!(
        "INSERT INTO vitals_raw (user_id, metric, value, comparator, unit, source, started_at, ended_at)
         SELECT 1, 'steps', n % 97 / 7.0 + 0.1, NULL, 'count', source, at, at + length
         FROM (VALUES ('watch', interval '7 minutes'), ('phone', '11 minutes')) AS v (source, length),
              generate_series(0, 700) AS n,
              LATERAL (SELECT timestamptz '{around}' - interval '30 hours' + n * length AS at) AS t
         WHERE at < timestamptz '{around}' + interval '30 hours'
         UNION ALL
         SELECT 1, 'heart_rate', CASE WHEN n % 61 = 0 THEN 'NaN' ELSE 60 + n % 83 / 9.0 END,
                CASE WHEN n % 47 = 0 THEN '>' END, 'bpm', CASE n % 3 WHEN 0 THEN 'strap' ELSE 'watch' END, at, at
         FROM generate_series(0, 720) AS n,
              LATERAL (SELECT timestamptz '{around}' + (n - 360) * interval '5 minutes' AS at) AS t"
    ))
    .await;
}

#[tokio::test]
async fn the_hours_of_days_of_23_24_and_25_hours_add_up_to_their_days() {
    for (zone, around, date, length) in [
        ("Europe/Berlin", "2024-03-31 12:00+02", "2024-03-31", "23:00:00 23"),
        ("Europe/Berlin", "2024-10-27 12:00+01", "2024-10-27", "25:00:00 25"),
        ("Asia/Kolkata", "2024-05-01 12:00+05:30", "2024-05-01", "24:00:00 24"),
        ("Australia/Lord_Howe", "2024-04-07 12:00+10:30", "2024-04-07", "24:30:00 25"),
        ("America/Havana", "2023-11-05 12:00-05", "2023-11-05", "25:00:00 25"),
    ] {
        let db = user_in(zone, "watch,phone").await;
        live(&db, around).await;
        db.run_once();
        assert_eq!(lines(&db, DAYS_THAT_DIFFER).await, Vec::<String>::new(), "{zone}");
        let lengths = format!(
            "SELECT DISTINCT concat(make_interval(secs => extract(epoch FROM day_end - day_start)), ' ',
                                    (SELECT count(*) FROM vitals_hourly AS h
                                     WHERE (h.local_date, h.metric) = (d.local_date, d.metric)))
             FROM vitals_daily AS d WHERE local_date = '{date}'"
        );
        assert_eq!(lines(&db, &lengths).await, [length], "{zone}");
        let kinds =
            "SELECT concat_ws(' ', bool_or(total > 0), bool_or(mean > 0), sum(censored_count) > 0,
                                      sum(rejected_count) > 0, count(DISTINCT local_date))
                     FROM vitals_daily";
        assert_eq!(lines(&db, kinds).await, ["t t t t 3"], "{zone}: there is something of each");
    }
}
