//! Names of sources that look alike.

use super::{assert_as_from_scratch, insert, lines, of_only_day, user_in};

const ORDER: &str = "Anna Apple Watch, iPhone";

#[tokio::test]
async fn a_name_with_a_no_break_space_is_the_one_in_the_profile() {
    let db = user_in("Europe/Berlin", ORDER).await;
    let watch = "Anna Apple\u{a0}Watch";
    insert(
        &db,
        &[
            ("steps", "600", watch, "2024-05-01 10:00+02", "2024-05-01 11:00+02"),
            ("steps", "900", "iPhone", "2024-05-01 10:30+02", "2024-05-01 11:30+02"),
        ],
    )
    .await;
    db.run_once();
    assert_eq!(of_only_day::<f64>(&db, "total", "steps").await, 1050.0);
    let primary: String = of_only_day(&db, "primary_source", "steps").await;
    assert_eq!(primary, "Anna Apple Watch");
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_sample_sent_again_under_a_name_that_looks_the_same_is_one_sample() {
    let db = user_in("Europe/Berlin", "").await;
    let at = "2024-05-01 10:00+02";
    let names = ["Anna Apple Watch", "Anna Apple\u{a0}Watch", " Anna  Apple\tWatch "];
    for (name, value) in names.into_iter().zip(["60", "70", "80"]) {
        insert(&db, &[("heart_rate", value, name, at, at)]).await;
    }
    // A daily total and the sample that replaces it, sent under another spelling.
    let (from, to) = ("2024-05-01 12:00+02", "2024-05-01 13:00+02");
    insert(&db, &[("steps", "5000", names[0], from, to)]).await;
    db.execute("UPDATE vitals_raw SET is_daily_total = true WHERE value = 5000").await;
    insert(&db, &[("steps", "300", names[1], from, to)]).await;
    db.run_once();
    let heart_rate: String =
        of_only_day(&db, "concat_ws(' ', sample_count, mean, sources)", "heart_rate").await;
    assert_eq!(heart_rate, r#"1 80 {"Anna Apple Watch": 1}"#);
    assert_eq!(of_only_day::<f64>(&db, "total", "steps").await, 300.0);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_night_and_a_laboratory_result_know_a_source_by_its_folded_name() {
    let db = user_in("Europe/Berlin", ORDER).await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         VALUES (1, 'sleep_core', 1, 'min', U&'Anna Apple\\00A0Watch', '2024-05-01 00:00+02', '2024-05-01 02:00+02'),
                (1, 'sleep_core', 1, 'min', 'Anna Apple Watch', '2024-05-01 02:00+02', '2024-05-01 06:00+02'),
                (1, 'sleep_core', 1, 'min', 'iPhone', '2024-05-01 00:00+02', '2024-05-01 07:00+02');
         INSERT INTO lab_raw (user_id, test_name, value_text, status, collected_at, source)
         VALUES (1, 'iron', '5', 'final', '2024-05-01 08:00+02', 'Lab A'),
                (1, 'iron', '6', 'corrected', '2024-05-01 08:00+02', U&'Lab\\00A0A')",
    )
    .await;
    db.run_once();
    let nights = "SELECT concat_ws(' ', asleep_minutes, sources) FROM sleep_daily";
    assert_eq!(lines(&db, nights).await, [r#"360 {"Anna Apple Watch": 2}"#]);
    let results = "SELECT concat_ws(' ', result_count, last_value) FROM lab_daily";
    assert_eq!(lines(&db, results).await, ["1 6"]);
}

#[tokio::test]
async fn the_report_names_a_source_of_the_profile_that_no_row_has() {
    let db = user_in("Europe/Berlin", "Anna Aple Watch, iPhone").await;
    let at = "2024-05-01 10:00+02";
    insert(&db, &[("steps", "600", "Anna Apple Watch", at, at), ("steps", "7", "iPhone", at, at)])
        .await;
    db.run_once();
    let report = || {
        let dates = ["--from", "2024-05-01", "--to", "2024-05-01"];
        let ran = db.run(&[&["report", "--user", "1", "--html", "-"], &dates[..]].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    let said = "sources from which these days have no row: Anna Aple Watch.";
    assert!(report().contains(said));
    db.execute("UPDATE user_profiles SET source_priority = '{Anna Apple Watch,iPhone}'").await;
    assert!(!report().contains("have no row"));
}
