//! Days of glucose: level, spread, ranges, episodes, coverage.

use super::{assert_as_from_scratch, insert, lines, user_in};
use crate::support::Database;

/// A sensor's readings of user 1, one every five minutes from a Berlin time on.
async fn sense(db: &Database, from: &str, mg_per_dl: &[f64]) {
    let values: Vec<String> = mg_per_dl.iter().map(ToString::to_string).collect();
    db.execute(&format!(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'blood_glucose', value, 'mg/dL', 'cgm', at, at
         FROM unnest('{{{}}}'::float8[]) WITH ORDINALITY AS reading (value, place),
              LATERAL (SELECT '{from}'::timestamp AT TIME ZONE 'Europe/Berlin'
                              + (place - 1) * interval '5 minutes' AS at) AS t",
        values.join(",")
    ))
    .await;
}

async fn column(db: &Database, column: &str) -> Vec<String> {
    let sql = format!(
        "SELECT concat_ws(' ', local_date, {column}) FROM glucose_daily ORDER BY local_date"
    );
    lines(db, &sql).await
}

#[tokio::test]
async fn level_spread_and_ranges_follow_the_published_formulas() {
    let db = user_in("Europe/Berlin", "").await;
    sense(&db, "2024-05-01 08:00", &[50.0, 60.0, 100.0, 160.0, 180.0, 200.0, 260.0, 150.0]).await;
    db.run_once();
    let level = "round(mean::numeric, 6), round(stddev::numeric, 6), round(cv_percent::numeric, 4),
                 round(gmi_percent::numeric, 6), round(ea1c_percent::numeric, 6),
                 round(j_index::numeric, 6)";
    // mean 145, squares 36000: SD = sqrt(36000 / 7)
    assert_eq!(
        column(&db, level).await,
        ["2024-05-01 145.000000 71.713717 49.4577 6.778400 6.679443 46.964835"]
    );
    let ranges = "below_54_percent, below_70_percent, from_70_to_180_percent,
                  from_70_to_140_percent, above_180_percent, above_250_percent, glycemia_risk_index";
    // 3 · 12.5 + 2.4 · 12.5 + 1.6 · 12.5 + 0.8 · 12.5
    assert_eq!(column(&db, ranges).await, ["2024-05-01 12.5 25 50 12.5 25 12.5 97.5"]);
    let rest = "sample_count, censored_count, rejected_count, is_sufficient, sources, time_zone,
                is_partial, round(coverage_percent::numeric, 4), day_end - day_start";
    assert_eq!(
        column(&db, rest).await,
        [r#"2024-05-01 8 0 0 f {"cgm": 8} Europe/Berlin f 2.7778 1 day"#]
    );
}

#[tokio::test]
async fn readings_in_both_units_are_one_days_readings() {
    let db = user_in("Europe/Berlin", "").await;
    let at = |hour| format!("2024-05-01 {hour}:00+02");
    insert(&db, &[("blood_glucose", "180.1559", "meter", &at("08"), &at("08"))]).await;
    insert(&db, &[("blood_glucose", "10", "meter", &at("12"), &at("12"))]).await;
    db.execute("UPDATE vitals_raw SET unit = 'mmol/L' WHERE value = 10").await;
    db.run_once();
    let figures = "sample_count, round(mean::numeric, 4), stddev < 1e-9, above_180_percent";
    // 180.1559 mg/dL are above 180; 10 mmol/L are not above 10.0.
    assert_eq!(column(&db, figures).await, ["2024-05-01 2 180.1559 t 50"]);
}

#[tokio::test]
async fn low_and_high_of_a_sensor_are_placed_but_not_averaged() {
    let db = user_in("Europe/Berlin", "").await;
    // <54 is below 54, >250 above 250.
    sense(&db, "2024-05-01 08:00", &[54.0, 54.0, 54.0, 100.0, 100.0, 100.0, 250.0, 250.0]).await;
    db.execute(
        "UPDATE vitals_raw SET comparator = CASE value WHEN 54 THEN '<' ELSE '>' END
         WHERE value <> 100",
    )
    .await;
    db.run_once();
    let figures = "sample_count, censored_count, mean, stddev, below_54_percent, above_250_percent,
                   low_episodes, high_episodes, sources";
    assert_eq!(column(&db, figures).await, [r#"2024-05-01 3 5 100 0 37.5 25 1 0 {"cgm": 3}"#]);

    // Bounds alone have ranges, but no level.
    db.execute("DELETE FROM vitals_raw WHERE value = 100").await;
    db.run_once();
    let figures = "sample_count, censored_count,
                   num_nulls(mean, stddev, cv_percent, gmi_percent, ea1c_percent, j_index),
                   below_54_percent";
    assert_eq!(column(&db, figures).await, ["2024-05-01 0 5 6 60"]);
}

#[tokio::test]
async fn late_readings_complete_a_day_and_an_episode() {
    let db = user_in("Europe/Berlin", "").await;
    sense(&db, "2024-05-01 08:00", &[200.0, 200.0, 100.0, 100.0, 100.0]).await;
    db.run_once();
    assert_eq!(column(&db, "high_episodes, sample_count").await, ["2024-05-01 0 5"]);
    sense(&db, "2024-05-01 07:50", &[200.0, 200.0]).await;
    sense(&db, "2024-05-01 23:55", &[100.0, 100.0]).await;
    db.run_once();
    assert_eq!(
        column(&db, "high_episodes, sample_count").await,
        ["2024-05-01 1 8", "2024-05-02 1"]
    );
    // Corrected away again.
    db.execute("UPDATE vitals_raw SET value = 100 WHERE value = 200").await;
    db.run_once();
    assert_eq!(
        column(&db, "high_episodes, sample_count, mean").await,
        ["2024-05-01 0 8 100", "2024-05-02 1 100"]
    );
}

#[tokio::test]
async fn an_episode_over_midnight_counts_once_and_on_the_date_of_its_beginning() {
    let db = user_in("Europe/Berlin", "").await;
    let night: Vec<f64> =
        (0..48).map(|n| if (22..26).contains(&n) { 60.0 } else { 100.0 }).collect();
    sense(&db, "2024-05-01 22:00", &night).await;
    db.run_once();
    let episodes = "low_episodes, high_episodes";
    assert_eq!(column(&db, episodes).await, ["2024-05-01 1 0", "2024-05-02 0 0"]);
    assert_as_from_scratch(&db).await;

    // A change on either side of midnight is one of both dates.
    let of_the_2nd = "started_at >= '2024-05-01 22:00Z' AND value = 60";
    db.execute(&format!("UPDATE vitals_raw SET value = 90 WHERE {of_the_2nd}")).await;
    db.run_once();
    assert_eq!(column(&db, episodes).await, ["2024-05-01 0 0", "2024-05-02 0 0"]);
    assert_as_from_scratch(&db).await;
    db.execute("UPDATE vitals_raw SET value = 60 WHERE started_at BETWEEN '2024-05-01 22:00Z' AND '2024-05-01 22:10Z'").await;
    db.run_once();
    assert_eq!(column(&db, episodes).await, ["2024-05-01 1 0", "2024-05-02 0 0"]);
    db.execute("DELETE FROM vitals_raw WHERE started_at < '2024-05-01 22:00Z' AND value = 60")
        .await;
    db.run_once();
    assert_eq!(column(&db, episodes).await, ["2024-05-01 0 0", "2024-05-02 1 0"]);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn readings_that_come_one_by_one_over_midnight_come_to_the_same_episodes() {
    let db = user_in("Europe/Berlin", "").await;
    for (n, value) in
        [100.0, 200.0, 200.0, 200.0, 100.0, 100.0, 100.0, 60.0, 60.0, 60.0].iter().enumerate()
    {
        let minute = 23 * 60 + 45 + 5 * n;
        let (day, hour) = (1 + minute / 1440, minute / 60 % 24);
        sense(&db, &format!("2024-05-{day:02} {hour:02}:{:02}", minute % 60), &[*value]).await;
        db.run_once();
    }
    let episodes = "low_episodes, high_episodes";
    assert_eq!(column(&db, episodes).await, ["2024-05-01 0 1", "2024-05-02 1 0"]);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn enough_readings_are_seventy_percent_of_those_expected() {
    let db = user_in("Europe/Berlin", "").await;
    let all: Vec<f64> = (0..288).map(|n| 100.0 + f64::from(n % 7)).collect();
    sense(&db, "2024-05-01 00:00", &all).await;
    sense(&db, "2024-05-02 00:00", &all[..201]).await;
    db.run_once();
    assert_eq!(
        column(&db, "round(coverage_percent::numeric, 2), is_sufficient").await,
        ["2024-05-01 100.00 t", "2024-05-02 69.79 f"]
    );
}

#[tokio::test]
async fn readings_sent_again_later_lower_neither_coverage_nor_sufficiency() {
    let db = user_in("UTC", "").await;
    for start in ["00:00", "00:00:09", "00:01", "00:02:10"] {
        db.execute(&format!(
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             SELECT 1, 'blood_glucose', 110 + n % 7, 'mg/dL', 'cgm', at, at
             FROM generate_series(0, 287) AS n,
                  LATERAL (SELECT timestamptz '2024-03-05 {start}Z' + n * interval '5 min' AS at) AS t"
        ))
        .await;
        db.run_once();
        let coverage = "coverage_percent, is_sufficient";
        assert_eq!(column(&db, coverage).await, ["2024-03-05 100 t"]);
    }
    assert_eq!(column(&db, "sample_count").await, ["2024-03-05 1152"]);
}

#[tokio::test]
async fn a_meter_has_no_coverage_and_two_sensors_that_follow_each_other_cover_the_day() {
    let db = user_in("UTC", "").await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'blood_glucose', 100, 'mg/dL', source, at, at
         FROM (SELECT 'meter', timestamptz '2024-05-01 00:05Z'
               UNION ALL SELECT 'meter', '2024-05-01 12:05Z'
               UNION ALL SELECT 'five', timestamptz '2024-05-02Z' + n * interval '5 min'
                         FROM generate_series(0, 143) AS n
               UNION ALL SELECT 'fifteen', timestamptz '2024-05-02 12:00Z' + n * interval '15 min'
                         FROM generate_series(0, 47) AS n) AS reading (source, at)",
    )
    .await;
    db.run_once();
    assert_eq!(
        column(&db, "coalesce(coverage_percent::text, '-'), coalesce(is_sufficient::text, '-')")
            .await,
        ["2024-05-01 - -", "2024-05-02 100 true"]
    );
    // The weekly and monthly views take what is known.
    for view in ["glucose_weekly", "glucose_monthly"] {
        let known = format!("SELECT sum(coverage_percent)::text FROM {view}");
        assert!(lines(&db, &known).await[0].parse::<f64>().unwrap() > 3.0);
    }
    let page = db
        .run(&[
            "report",
            "--user",
            "1",
            "--html",
            "-",
            "--from",
            "2024-05-01",
            "--to",
            "2024-05-02",
        ])
        .stdout;
    assert!(page.contains("meter: no coverage"));
    assert!(page.contains("1 of them with enough readings"));
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_reading_in_millimoles_on_a_limit_of_the_consensus_is_in_range() {
    let db = user_in("UTC", "").await;
    for (day, value) in [(1, 10.0), (2, 13.9), (3, 7.8), (4, 3.9), (5, 3.0)] {
        db.execute(&format!(
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             SELECT 1, 'blood_glucose', {value}, 'mmol/L', 'cgm', at, at
             FROM generate_series(0, 9) AS n,
                  LATERAL (SELECT timestamptz '2024-05-0{day} 10:00Z' + n * interval '5 min' AS at) AS t"
        ))
        .await;
    }
    db.run_once();
    let ranges =
        "below_54_percent, below_70_percent, from_70_to_180_percent, from_70_to_140_percent,
                  above_180_percent, above_250_percent, low_episodes, high_episodes";
    assert_eq!(
        column(&db, ranges).await,
        [
            "2024-05-01 0 0 100 0 0 0 0 0",
            "2024-05-02 0 0 0 0 100 0 0 1",
            "2024-05-03 0 0 100 100 0 0 0 0",
            "2024-05-04 0 0 100 100 0 0 0 0",
            "2024-05-05 0 100 0 0 0 0 1 0",
        ]
    );
}

#[tokio::test]
async fn fourteen_days_are_what_all_their_readings_say() {
    let db = user_in("UTC", "").await;
    // 20 days with two days without a reading, two of a meter, and some bounds.
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, comparator, unit, source, started_at, ended_at)
         SELECT 1, 'blood_glucose', 60 + (d * 37 + n * 11) % 230,
                CASE WHEN (d + n) % 50 = 0 THEN '>' END, 'mg/dL', 'cgm', at, at
         FROM generate_series(0, 19) AS d, generate_series(0, 287) AS n,
              LATERAL (SELECT timestamptz '2024-05-01Z' + d * interval '1 day' + n * interval '5 min' AS at) AS t
         WHERE d NOT IN (3, 4) AND n % (1 + d % 3) = 0 AND (d NOT IN (7, 8) OR n % 48 = 0)",
    )
    .await;
    db.run_once();
    let wrong = "
        WITH raw AS (
            SELECT (started_at AT TIME ZONE 'UTC')::date AS date, value, comparator IS NULL AS exact,
                   value + CASE WHEN comparator IS NULL THEN 0 ELSE 0.001 END AS placed
            FROM vitals_raw
        ), expected AS (
            SELECT g.local_date, count(DISTINCT date) AS days, count(*) FILTER (WHERE exact) AS n,
                   avg(value) FILTER (WHERE exact) AS mean, stddev_samp(value) FILTER (WHERE exact) AS sd,
                   100.0 * count(*) FILTER (WHERE placed < 70) / count(*) AS low,
                   100.0 * count(*) FILTER (WHERE placed BETWEEN 70 AND 180) / count(*) AS in_range,
                   100.0 * count(*) FILTER (WHERE placed > 180 AND placed <= 250) / count(*) AS high,
                   100.0 * count(*) FILTER (WHERE placed > 250) / count(*) AS very_high,
                   -- All that have sensors cover their days but for the last readings' intervals.
                   count(DISTINCT date) FILTER (WHERE date NOT IN ('2024-05-08', '2024-05-09')) / 0.14 AS coverage
            FROM glucose_daily AS g
            JOIN raw ON date > g.local_date - 14 AND date <= g.local_date GROUP BY 1
        )
        SELECT v.local_date::text
        FROM expected AS e FULL JOIN glucose_14_days AS v USING (local_date)
        WHERE (v.days_with_data = e.days AND v.sample_count = e.n
               AND abs(v.mean - e.mean) < 1e-9 AND abs(v.stddev - e.sd) < 1e-9
               AND abs(v.cv_percent - 100 * e.sd / e.mean) < 1e-9
               AND abs(v.gmi_percent - (3.31 + 0.02392 * e.mean)) < 1e-9
               AND abs(v.below_70_percent - e.low) < 1e-9
               AND abs(v.from_70_to_180_percent - e.in_range) < 1e-9
               AND abs(v.above_180_percent - e.high - e.very_high) < 1e-9
               AND abs(v.glycemia_risk_index
                       - least(100, 2.4 * e.low + 0.8 * e.high + 1.6 * e.very_high)) < 1e-9
               AND abs(v.coverage_percent - e.coverage) < 1e-9
               AND v.is_sufficient = (e.coverage >= 70)) IS NOT TRUE";
    assert_eq!(lines(&db, wrong).await, Vec::<String>::new());
    assert_eq!(db.value::<i64>("SELECT count(*) FROM glucose_14_days").await, 18);
    let sufficient = "SELECT count(*) FROM glucose_14_days WHERE is_sufficient";
    assert_eq!(db.value::<i64>(sufficient).await, 7, "from the 12th to the 14th with data, and on");

    // Fourteen days of a meter cover nothing that could be enough.
    db.execute("DELETE FROM vitals_raw WHERE extract(hour FROM started_at AT TIME ZONE 'UTC')::int % 4 <> 0
                OR extract(minute FROM started_at) <> 0")
        .await;
    db.run_once();
    let unknown = "SELECT count(*) FROM glucose_14_days
                   WHERE coverage_percent IS NULL AND is_sufficient IS NULL AND gmi_percent > 3";
    assert_eq!(db.value::<i64>(unknown).await, 18);
}

#[tokio::test]
async fn fourteen_days_of_one_user_read_no_other_days() {
    let db = user_in("UTC", "").await;
    sense(&db, "2024-05-01 08:00", &[100.0, 120.0]).await;
    db.run_once();
    db.execute(
        "INSERT INTO glucose_daily
         SELECT (jsonb_populate_record(d, jsonb_build_object(
                    'user_id', (2 + n / 200)::user_key, 'local_date', d.local_date + n % 200))).*
         FROM glucose_daily AS d, generate_series(0, 19999) AS n",
    )
    .await;
    db.execute("ANALYZE glucose_daily").await;
    let plan = lines(
        &db,
        "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT * FROM glucose_14_days
         WHERE user_id = 50 AND local_date BETWEEN '2024-06-01' AND '2024-06-30'",
    )
    .await;
    let scans: Vec<_> = plan.iter().filter(|line| line.contains(" on glucose_daily ")).collect();
    assert!(!scans.is_empty() && scans.iter().all(|line| !line.contains("Seq Scan")), "{plan:#?}");
    let number = |line: &str, name: &str| -> f64 {
        let (_, behind) = line.split_once(name).unwrap();
        behind.split([' ', ')']).next().unwrap().parse().unwrap()
    };
    let rows = scans.iter().map(|line| number(line, "rows=") * number(line, "loops="));
    // 30 dates, and 14 days of each, twice.
    assert!(rows.sum::<f64>() <= 30.0 * 29.0, "{plan:#?}");
}

#[tokio::test]
async fn a_day_goes_with_its_last_row_and_a_rejected_row_still_is_one() {
    let db = user_in("Europe/Berlin", "").await;
    sense(&db, "2024-05-01 08:00", &[100.0, 3.0]).await;
    db.run_once();
    let counts = "sample_count, rejected_count, is_sufficient, below_70_percent";
    // One reading is of no sensor: whether it is enough for a day is not known.
    assert_eq!(column(&db, counts).await, ["2024-05-01 1 1 0"]);
    db.execute("DELETE FROM vitals_raw WHERE value = 100").await;
    db.run_once();
    assert_eq!(column(&db, counts).await, ["2024-05-01 0 1"]);
    db.execute("DELETE FROM vitals_raw").await;
    db.run_once();
    assert!(column(&db, counts).await.is_empty());
}

#[tokio::test]
async fn a_reading_sent_again_with_another_zone_changes_its_date() {
    let db = user_in("Europe/Berlin", "").await;
    let late = "2024-05-01 23:00+02";
    insert(&db, &[("blood_glucose", "100", "meter", late, late)]).await;
    db.run_once();
    insert(&db, &[("blood_glucose", "110", "meter", late, late)]).await;
    db.execute("UPDATE vitals_raw SET time_zone = 'Asia/Tokyo' WHERE value = 110").await;
    db.run_once();
    assert_eq!(column(&db, "mean, time_zone").await, ["2024-05-02 110 Asia/Tokyo"]);
    db.execute("DELETE FROM vitals_raw WHERE value = 110").await;
    db.run_once();
    assert_eq!(column(&db, "mean, time_zone").await, ["2024-05-01 100 Europe/Berlin"]);
}
