//! The profile of glucose and the time in range.

use super::{page, table};
use crate::support::Database;
use crate::support::outside::assert_says;

const FORTNIGHT: [&str; 4] = ["--from", "2024-05-01", "--to", "2024-05-14"];

/// A sensor's readings, one every 15 minutes for 14 days, that look like chance.
async fn insert(db: &Database) {
    db.execute(
        "INSERT INTO user_profiles VALUES (1, 'Europe/Berlin', '{}');
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'blood_glucose', 45 + (n * n * 37 + n * 11) % 231, 'mg/dL', 'sensor', at, at
         FROM (SELECT n, timestamptz '2024-05-01 00:05+02' + n * interval '15 min' AS at
               FROM generate_series(0, 14 * 96 - 1) AS s (n)) AS readings",
    )
    .await;
    assert_eq!(db.run_once()["rows_failed"], 0);
}

#[tokio::test]
async fn the_percentiles_of_the_profile_are_those_of_the_database() {
    let db = Database::new().await;
    insert(&db).await;

    let page = page(&db, "1", &FORTNIGHT);

    let listed = table(&page, "Figures: glucose by time of day, mg/dL");
    assert_eq!(listed.len(), 24);
    let sql = "SELECT percentile_cont(ARRAY[0.05, 0.25, 0.5, 0.75, 0.95]) WITHIN GROUP (ORDER BY value)
               FROM vitals_raw
               WHERE (extract(epoch FROM (started_at AT TIME ZONE 'Europe/Berlin')::time
                                         - make_time($1, 0, 0) + interval '36.5 hours')::integer % 86400)
                     BETWEEN 43200 AND 46799";
    for (hour, cells) in (0_i32..).zip(&listed) {
        let exact: Vec<f64> = db.query(sql, &[&hour]).await[0].get(0);
        assert_eq!(cells.len(), exact.len());
        for (cell, exact) in cells.iter().zip(exact) {
            let shown: f64 = cell.parse().unwrap();
            assert!((shown - exact).abs() <= 0.5 + 1e-9, "{hour} h: {shown} is not {exact}");
        }
    }
    assert_says(&page, &["1,344 readings of 14 days", "dashed: the range from 70 to 180 mg/dL"]);
    assert!(!page.contains("too few for the consensus"));
}

#[tokio::test]
async fn the_shares_of_the_bands_add_up_to_a_hundred() {
    let db = Database::new().await;
    insert(&db).await;

    let page = page(&db, "1", &FORTNIGHT);

    let sum = |cells: &[String]| -> f64 {
        cells.iter().map(|cell| cell.trim_end_matches(" %").parse::<f64>().unwrap()).sum()
    };
    let all = super::between(&page, "<table class=\"shares\">", "</table>");
    let all: Vec<String> = all
        .split("<td class=\"number\">")
        .skip(1)
        .map(|cell| cell.split("</td>").next().unwrap().to_owned())
        .collect();
    assert_eq!(all.len(), 5);
    assert!((sum(&all) - 100.0).abs() < 1e-9, "{all:?}");
    let in_range: f64 = {
        let sql = "SELECT sum(sample_count * from_70_to_180_percent) / sum(sample_count) FROM glucose_daily";
        db.query(sql, &[]).await[0].get(0)
    };
    let shown: f64 = all[2].trim_end_matches(" %").parse().unwrap();
    assert!((shown - in_range).abs() < 0.1, "{shown} {in_range}");
    let days = table(&page, "Figures: glucose, mg/dL");
    assert_eq!(days.len(), 14);
    for day in &days {
        assert!((sum(&day[1..6]) - 100.0).abs() < 1e-9, "{day:?}");
    }
    // All cells of a column have the same number of decimals.
    for column in 1..6 {
        let decimals =
            days.iter().map(|day| day[column].split_once('.').map_or(0, |of| of.1.len()));
        let decimals: std::collections::BTreeSet<usize> = decimals.collect();
        assert_eq!(decimals.len(), 1, "column {column}");
    }
}

#[tokio::test]
async fn a_profile_of_few_days_says_so_and_one_of_a_meter_may_be_none() {
    let db = Database::new().await;
    insert(&db).await;
    let week = page(&db, "1", &["--from", "2024-05-01", "--to", "2024-05-07"]);
    assert_says(
        &week,
        &[
            "672 readings of 7 days; too few for the consensus",
            "14 days with 70 %",
            "7 days have enough",
        ],
    );
    let three = page(&db, "1", &["--from", "2024-05-01", "--to", "2024-05-03"]);
    assert_says(&three, &["No profile of a day is drawn", "at least 5 days"]);
}
