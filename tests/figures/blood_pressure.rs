//! Measurements of blood pressure: which rows are a pair, and what the day says of them.

use super::{insert, lines, user_in};
use crate::support::Database;

/// Inserts rows of user 1: S or D, mmHg, source, start.
async fn measure(db: &Database, rows: &[(char, &str, &str, &str)]) {
    for (which, value, source, at) in rows {
        let metric = match which {
            'S' => "blood_pressure_systolic",
            _ => "blood_pressure_diastolic",
        };
        insert(db, &[(metric, value, source, at, at)]).await;
    }
}

/// `date pairs unpaired censored, means, category` of each day, with `-` for NULL.
async fn days(db: &Database) -> Vec<String> {
    lines(
        db,
        "SELECT concat_ws(' ', local_date, pair_count, unpaired_count, censored_count,
                          coalesce(systolic_mean || '/' || diastolic_mean, '-'),
                          coalesce(worst_category, '-'))
         FROM blood_pressure_daily ORDER BY local_date",
    )
    .await
}

#[tokio::test]
async fn the_figures_of_a_day_are_those_of_its_pairs() {
    let db = user_in("Europe/Berlin", "").await;
    measure(
        &db,
        &[
            ('S', "118", "cuff", "2024-05-01 08:00:00+02"),
            ('D', "76", "cuff", "2024-05-01 08:00:00+02"),
            ('D', "91", "cuff", "2024-05-01 20:00:00+02"),
            ('S', "142", "cuff", "2024-05-01 20:00:05+02"),
            ('S', "130", "watch", "2024-05-01 21:00:00+02"),
            ('D', "70", "watch", "2024-05-01 21:00:01+02"),
        ],
    )
    .await;
    db.run_once();
    let all = lines(
        &db,
        "SELECT concat_ws(' ', pair_count, unpaired_count, systolic_mean, systolic_min, systolic_max,
                          diastolic_mean, diastolic_min, diastolic_max, mean_arterial_pressure,
                          worst_category, rejected_count, sources, time_zone, is_partial,
                          day_end - day_start)
         FROM blood_pressure_daily",
    )
    .await;
    // (118 + 2 · 76 + 142 + 2 · 91 + 130 + 2 · 70) / 9
    assert_eq!(
        all,
        [r#"3 0 130 118 142 79 70 91 96 stage_2 0 {"cuff": 2, "watch": 1} Europe/Berlin f 1 day"#]
    );
}

#[tokio::test]
async fn a_pair_over_midnight_counts_once_on_the_date_of_its_systolic_row() {
    let db = user_in("Europe/Berlin", "").await;
    measure(
        &db,
        &[
            ('S', "120", "cuff", "2024-05-01 23:59:58+02"),
            ('D', "80", "cuff", "2024-05-02 00:00:01+02"),
        ],
    )
    .await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-05-01 1 0 0 120/80 stage_1"]);

    // Without its partner each counts on its own date.
    db.execute("DELETE FROM vitals_raw WHERE metric = 'blood_pressure_diastolic'").await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-05-01 0 1 0 - -"]);
    measure(&db, &[('D', "80", "cuff", "2024-05-02 00:00:04+02")]).await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-05-01 0 1 0 - -", "2024-05-02 0 1 0 - -"]);
    // The partner comes late.
    measure(&db, &[('D', "82", "cuff", "2024-05-01 23:59:59+02")]).await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-05-01 1 0 0 120/82 stage_1", "2024-05-02 0 1 0 - -"]);
}

#[tokio::test]
async fn of_three_rows_the_nearest_two_are_a_pair_and_other_sources_are_none() {
    let db = user_in("Europe/Berlin", "").await;
    measure(
        &db,
        &[
            ('S', "120", "cuff", "2024-05-01 08:00:00+02"),
            ('D', "70", "cuff", "2024-05-01 08:00:03+02"),
            ('S', "110", "cuff", "2024-05-01 08:00:04+02"),
            ('S', "100", "cuff", "2024-05-02 08:00:00+02"),
            ('D', "60", "cuff", "2024-05-02 08:00:05.000001+02"),
            ('S', "100", "cuff", "2024-05-03 08:00:00+02"),
            ('D', "60", "watch", "2024-05-03 08:00:00+02"),
        ],
    )
    .await;
    db.run_once();
    assert_eq!(
        days(&db).await,
        ["2024-05-01 1 1 0 110/70 normal", "2024-05-02 0 2 0 - -", "2024-05-03 0 2 0 - -"]
    );
    // With the nearer one gone, the other takes its place.
    db.execute("DELETE FROM vitals_raw WHERE value = 110").await;
    db.run_once();
    assert_eq!(days(&db).await[0], "2024-05-01 1 0 0 120/70 elevated");
}

#[tokio::test]
async fn a_correction_and_a_deletion_later_change_the_day_until_nothing_is_left() {
    let db = user_in("Europe/Berlin", "").await;
    measure(
        &db,
        &[
            ('S', "185", "cuff", "2024-05-01 08:00+02"),
            ('D', "90", "cuff", "2024-05-01 08:00+02"),
            ('S', "13682", "cuff", "2024-05-01 09:00+02"),
        ],
    )
    .await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-05-01 1 0 0 185/90 severe"]);
    db.execute("UPDATE vitals_raw SET value = 135 WHERE value = 185").await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-05-01 1 0 0 135/90 stage_2"]);
    // The systolic row takes the pair with it to another date.
    db.execute("UPDATE vitals_raw SET started_at = started_at + interval '1 day', ended_at = ended_at + interval '1 day' WHERE value IN (135, 90)").await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-05-01 0 0 0 - -", "2024-05-02 1 0 0 135/90 stage_2"]);
    let rejected = "SELECT rejected_count::text FROM blood_pressure_daily ORDER BY local_date";
    assert_eq!(lines(&db, rejected).await, ["1", "0"]);
    db.execute("DELETE FROM vitals_raw WHERE value <> 135").await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-05-02 0 1 0 - -"]);
    db.execute("DELETE FROM vitals_raw").await;
    db.run_once();
    assert!(days(&db).await.is_empty());
}

#[tokio::test]
async fn a_bound_has_a_category_but_no_part_in_the_means() {
    let db = user_in("Europe/Berlin", "").await;
    let (morning, evening) = ("2024-05-01 08:00+02", "2024-05-01 20:00+02");
    measure(
        &db,
        &[
            ('S', "180", "cuff", morning),
            ('D', "70", "cuff", morning),
            ('S', "110", "cuff", evening),
            ('D', "70", "cuff", evening),
        ],
    )
    .await;
    db.execute("UPDATE vitals_raw SET comparator = '>' WHERE value = 180").await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-05-01 2 0 1 110/70 severe"]);
}

#[tokio::test]
async fn a_row_deleted_after_a_move_leaves_the_pair_that_it_was_in() {
    let db = user_in("Europe/Berlin", "").await;
    measure(
        &db,
        &[
            ('S', "120", "cuff", "2024-05-01 23:59:58+02"),
            ('D', "80", "cuff", "2024-05-02 00:00:01+02"),
        ],
    )
    .await;
    db.run_once();
    db.execute("UPDATE user_profiles SET time_zone = 'Asia/Tokyo'").await;
    db.execute("DELETE FROM vitals_raw WHERE value = 80").await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-05-02 0 1 0 - -"]);
}

#[tokio::test]
async fn where_no_row_is_of_blood_pressure_or_glucose_nothing_is_read_for_them() {
    let db = user_in("Europe/Berlin", "").await;
    db.execute("DROP TABLE blood_pressure_daily, glucose_daily CASCADE").await;
    let at = "2024-05-01 08:00+02";
    insert(&db, &[("heart_rate", "60", "watch", at, at)]).await;
    assert_eq!(db.run_once()["rows_completed"], 1);
}

#[tokio::test]
async fn a_partner_dated_by_a_zone_of_its_own_is_found_when_the_other_goes() {
    let db = user_in("Europe/Berlin", "").await;
    measure(
        &db,
        &[
            ('S', "120", "cuff", "2024-05-01 20:00:00+02"),
            ('D', "80", "cuff", "2024-05-01 20:00:01+02"),
            // Another zone on that date, so that its bounds are Berlin's.
            ('S', "110", "cuff", "2024-05-02 12:00:00+02"),
        ],
    )
    .await;
    db.execute("UPDATE vitals_raw SET time_zone = 'Asia/Tokyo' WHERE value = 120").await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-05-02 1 1 0 120/80 stage_1"]);
    db.execute("DELETE FROM vitals_raw WHERE value = 80").await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-05-02 0 2 0 - -"]);
}
