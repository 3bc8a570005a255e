//! Figures that are frozen keep their values when their raw rows go.

mod command;
mod partitions;
mod races;

use crate::support::Database;
use crate::support::outside::Scratch;
use crate::support::tables::difference;

/// Rows of each kind of user 7 on each date from 2024-02-10 to 2024-03-20, and laboratory results on three of them.
const ROWS: &str = "
    INSERT INTO user_profiles (user_id, time_zone) VALUES (7, 'UTC');
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT 7, metric, value + day.n % 7, unit, 'watch', day.at + after, day.at + after + lasts
    FROM generate_series(0, 39) AS n, LATERAL (SELECT n, timestamptz '2024-02-10 00:00Z' + n * interval '1 day' AS at) AS day,
         (VALUES ('heart_rate', 60, 'bpm', interval '10 hours', interval '0'),
                 ('heart_rate', 70, 'bpm', '11 hours', '0'),
                 ('steps', 500, 'count', '10 hours', '1 hour'),
                 ('sleep_deep', 100, 'min', '-2 hours', '8 hours'),
                 ('blood_glucose', 100, 'mg/dL', '8 hours', '0'),
                 ('blood_pressure_systolic', 120, 'mmHg', '9 hours', '0'),
                 ('blood_pressure_diastolic', 80, 'mmHg', '9 hours', '0')) AS rows (metric, value, unit, after, lasts);
    INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
    SELECT 7, 'bread', 'lunch', timestamptz '2024-02-10 12:00Z' + n * interval '1 day', 'app', 300 + n
    FROM generate_series(0, 39) AS n;
    INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source) VALUES
        (7, 'Sodium', '140', 'mmol/L', 'final', '2024-02-11 08:00Z', 'lab'),
        (7, 'Sodium', '142', 'mmol/L', 'final', '2024-02-20 08:00Z', 'lab'),
        (7, 'Sodium', '145', 'mmol/L', 'final', '2024-03-10 08:00Z', 'lab');";

/// The first date that is not frozen.
const OPEN: &str = "2024-03-05";

/// A database with figures, those before [`OPEN`] frozen.
async fn frozen() -> Database {
    let db = Database::new().await;
    db.execute(ROWS).await;
    db.run_once();
    let ran = db.run(&["freeze", "--before", OPEN]);
    assert_eq!(ran.code, 0, "{ran:?}");
    db
}

/// All figures.
async fn figures(db: &Database) -> Vec<String> {
    let mut figures = db.figures_as_text().await;
    figures.retain(|line| !line.starts_with("rejected_rows"));
    figures
}

async fn assert_unchanged(db: &Database, before: &[String]) {
    if let Some(difference) = difference(before, &figures(db).await) {
        panic!("figures have changed: {difference}");
    }
}

/// The rejected rows with their reasons, in the order of their ids.
async fn rejected(db: &Database) -> String {
    db.value(
        "SELECT coalesce(string_agg(concat_ws(' ', kind, raw_id, reason), ', ' ORDER BY kind, raw_id), '')
         FROM rejected_rows",
    )
    .await
}

/// Inserts a heart rate of user 7 and returns its id.
async fn insert(db: &Database, value: i32, at: &str) -> i64 {
    db.value(&format!(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         VALUES (7, 'heart_rate', {value}, 'bpm', 'watch', '{at}', '{at}') RETURNING id"
    ))
    .await
}

/// The heart rates of a date: their number and mean.
async fn pulse(db: &Database, date: &str) -> String {
    db.value(&format!(
        "SELECT coalesce(max(concat_ws(' of ', sample_count, mean)), 'none') FROM vitals_daily
         WHERE user_id = 7 AND metric = 'heart_rate' AND local_date = '{date}'"
    ))
    .await
}

const OLD_ROWS_DELETED: &str = "
    DELETE FROM vitals_raw WHERE started_at < '2024-03-02';
    DELETE FROM nutrition_raw WHERE eaten_at < '2024-03-02';
    DELETE FROM lab_raw WHERE collected_at < '2024-03-02';";

#[tokio::test]
async fn frozen_figures_outlive_their_raw_rows_and_verify_and_backfill_leave_them_out() {
    let db = frozen().await;
    let before = figures(&db).await;
    let feed = "SELECT count(*) FROM figure_changes";
    let changes: i64 = db.value(feed).await;
    db.execute(OLD_ROWS_DELETED).await;
    db.run_once();
    assert_unchanged(&db, &before).await;

    // Of 24 dates of vitals, 24 of meals and 2 of results.
    let verified = db.run(&["verify", "--json"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert_eq!(verified.json()["dates_frozen"], 24 + 24 + 2);
    assert_eq!(verified.json()["rows_different"], 0);
    let text = db.run(&["verify"]).stdout;
    assert!(text.contains("50 dates left out: the figures are frozen"), "{text}");
    let repaired = db.run(&["verify", "--repair", "--yes"]);
    assert_eq!(repaired.code, 0, "{repaired:?}");
    let filled = db.run(&["backfill", "--from", "2024-01-01", "--to", "2024-12-31", "--json"]);
    assert_eq!(filled.code, 0, "{filled:?}");
    assert_eq!(filled.json()["dates_frozen"], 24 + 24 + 2);
    assert_unchanged(&db, &before).await;
    assert_eq!(db.value::<i64>(feed).await, changes, "nothing has changed");

    // The next result is still compared with a frozen one.
    db.execute("UPDATE lab_raw SET value_text = '146'").await;
    db.run_once();
    let delta = "SELECT delta FROM lab_daily WHERE local_date = '2024-03-10'";
    assert_eq!(db.value::<f64>(delta).await, 4.0);
    assert_eq!(db.run(&["verify"]).code, 0);
}

#[tokio::test]
async fn open_dates_are_computed_as_before_and_verify_still_finds_their_faults() {
    let db = frozen().await;
    db.execute(OLD_ROWS_DELETED).await;
    insert(&db, 95, "2024-03-05 12:00Z").await;
    db.run_once();
    assert_eq!(pulse(&db, "2024-03-05").await, "3 of 77");
    db.execute("UPDATE vitals_daily SET mean = 1 WHERE local_date IN ('2024-03-04', '2024-03-05')")
        .await;
    let verified = db.run(&["verify", "--json"]);
    assert_eq!(
        (verified.code, verified.json()["dates_left"].as_i64()),
        (4, Some(1)),
        "{verified:?}"
    );
    let repaired = db.run(&["verify", "--repair", "--yes"]);
    assert_eq!(repaired.code, 0, "{repaired:?}");
    assert_eq!(pulse(&db, "2024-03-05").await, "3 of 77");
    assert_eq!(pulse(&db, "2024-03-04").await, "2 of 1", "a frozen date stays as it is");
}

#[tokio::test]
async fn new_and_changed_rows_of_frozen_dates_are_refused_and_listed() {
    let db = frozen().await;
    let before = figures(&db).await;
    let new = insert(&db, 99, "2024-02-15 12:00Z").await;
    let implausible = insert(&db, -5, "2024-02-15 12:01Z").await;
    let changed: i64 = db
        .value(
            "UPDATE vitals_raw SET value = 99 WHERE metric = 'heart_rate' AND started_at = '2024-02-16 10:00Z'
             RETURNING id",
        )
        .await;
    db.execute(
        "INSERT INTO nutrition_raw (id, user_id, food_name, meal_type, eaten_at, source, energy_kcal)
         OVERRIDING SYSTEM VALUE VALUES (9001, 7, 'bread', 'lunch', '2024-02-15 12:30Z', 'app', 300);
         INSERT INTO lab_raw (id, user_id, test_name, value_text, unit, status, collected_at, source)
         OVERRIDING SYSTEM VALUE
         VALUES (9002, 7, 'Sodium', '150', 'mmol/L', 'final', '2024-03-04 08:00Z', 'lab')",
    )
    .await;
    let ran = db.run_once();
    assert_eq!((&ran["rows_completed"], &ran["rows_rejected"]), (&0.into(), &5.into()), "{ran}");
    assert_unchanged(&db, &before).await;
    let mut vitals = [new, implausible, changed];
    vitals.sort_unstable();
    let [first, second, third] = vitals;
    assert_eq!(
        rejected(&db).await,
        format!(
            "labs 9002 frozen, nutrition 9001 frozen, vitals {first} frozen, vitals {second} frozen, \
             vitals {third} frozen"
        )
    );
    let status = format!(
        "SELECT rejected_reason FROM raw_row_status WHERE raw_id = {new} AND kind = 'vitals'"
    );
    assert_eq!(db.value::<String>(&status).await, "frozen");
    // Neither command takes an entry for a mistake.
    assert_eq!(
        db.run(&["verify", "--repair", "--yes", "--json"]).json()["rejected_rows_repaired"],
        0
    );
    assert_eq!(db.run(&["backfill", "--from", "2024-01-01", "--to", "2024-12-31"]).code, 0);
    assert!(rejected(&db).await.contains("vitals"));

    // A row that is taken back is no longer listed.
    db.execute(&format!("DELETE FROM vitals_raw WHERE id IN ({new}, {implausible})")).await;
    db.run_once();
    assert_eq!(
        rejected(&db).await,
        format!("labs 9002 frozen, nutrition 9001 frozen, vitals {changed} frozen")
    );
    assert_unchanged(&db, &before).await;
}

#[tokio::test]
async fn a_row_is_of_the_date_on_which_it_starts_now() {
    let db = frozen().await;
    let move_row = |from: &str, to: &str| {
        format!(
            "UPDATE vitals_raw SET started_at = '{to}', ended_at = '{to}'
             WHERE metric = 'heart_rate' AND started_at = '{from}' RETURNING id"
        )
    };
    let into: i64 = db.value(&move_row("2024-03-11 10:00Z", "2024-02-12 15:00Z")).await;
    db.run_once();
    assert_eq!(rejected(&db).await, format!("vitals {into} frozen"));
    assert_eq!(pulse(&db, "2024-02-12").await, "2 of 67", "the frozen date does not have it");
    assert_eq!(pulse(&db, "2024-03-11").await, "1 of 72", "its open date has lost it");

    let out_of: i64 = db.value(&move_row("2024-02-17 10:00Z", "2024-03-12 15:00Z")).await;
    assert_ne!(out_of, into);
    db.run_once();
    assert_eq!(rejected(&db).await, format!("vitals {into} frozen"));
    assert_eq!(pulse(&db, "2024-02-17").await, "2 of 65", "the frozen date keeps what it had");
    assert!(pulse(&db, "2024-03-12").await.starts_with("3 of"), "its open date has it, too");

    // The zone decides: the first row is of 5 March in Tokyo, the second of 4 March in New York.
    let [tokyo, new_york] =
        [insert(&db, 60, "2024-03-04 16:00Z").await, insert(&db, 60, "2024-03-05 02:00Z").await];
    db.execute(&format!(
        "UPDATE vitals_raw SET time_zone = CASE id WHEN {tokyo} THEN 'Asia/Tokyo' ELSE 'America/New_York' END
         WHERE id IN ({tokyo}, {new_york})"
    ))
    .await;
    db.run_once();
    assert_eq!(rejected(&db).await, format!("vitals {into} frozen, vitals {new_york} frozen"));
    assert!(pulse(&db, "2024-03-05").await.starts_with("3 of"));
}

/// The rule of docs/retention.md: an open date is computed from all raw rows that are there.
#[tokio::test]
async fn a_row_that_crosses_the_border_counts_in_its_open_date_only() {
    let db = Database::new().await;
    assert_eq!(db.run(&["freeze", "--before", OPEN]).code, 0);
    db.execute(
        "INSERT INTO vitals_raw (id, user_id, metric, value, unit, source, started_at, ended_at)
         OVERRIDING SYSTEM VALUE VALUES
             (1, 7, 'steps', 120, 'count', 'phone', '2024-03-04 23:00Z', '2024-03-05 01:00Z'),
             (2, 7, 'sleep_deep', 480, 'min', 'watch', '2024-03-04 22:00Z', '2024-03-05 06:00Z'),
             (3, 7, 'sleep_deep', 60, 'min', 'watch', '2024-03-04 14:00Z', '2024-03-04 15:00Z')",
    )
    .await;
    db.run_once();
    let days =
        "SELECT string_agg(concat_ws(' ', metric, local_date, total), ', ') FROM vitals_daily";
    assert_eq!(db.value::<String>(days).await, "steps 2024-03-05 60");
    let nights =
        "SELECT string_agg(concat_ws(' ', local_date, asleep_minutes), ', ') FROM sleep_daily";
    assert_eq!(db.value::<String>(nights).await, "2024-03-05 480");
    assert_eq!(rejected(&db).await, "vitals 1 frozen, vitals 2 frozen, vitals 3 frozen");
    let verified = db.run(&["verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
}

#[tokio::test]
async fn requeue_leaves_frozen_dates_out_and_a_dead_row_of_one_is_refused() {
    let db = frozen().await;
    let before = figures(&db).await;
    let ran = db.run(&[
        "requeue",
        "--from",
        "2024-02-10",
        "--to",
        "2024-03-20",
        "--kind",
        "nutrition",
        "--json",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        (&ran.json()["frozen"], &ran.json()["requeued"]["nutrition"]),
        (&24.into(), &16.into())
    );
    let text = db.run(&["requeue", "--user", "7", "--kind", "nutrition"]).stdout;
    assert!(text.contains("24 rows left out"), "{text}");
    db.run_once();
    assert_eq!(rejected(&db).await, "");

    let id = insert(&db, 99, "2024-02-15 12:00Z").await;
    db.execute("UPDATE aggregation_queue SET state = 'dead', not_before = 'infinity'").await;
    assert_eq!(db.run(&["requeue", "--dead", "--json"]).json()["requeued"]["vitals"], 1);
    db.run_once();
    assert_eq!(rejected(&db).await, format!("vitals {id} frozen"));
    assert_unchanged(&db, &before).await;
}

#[tokio::test]
async fn an_import_says_how_many_rows_will_be_refused() {
    let db = frozen().await;
    let scratch = Scratch::new();
    let csv = "user_id,metric,value,unit,source,started_at\n\
               7,heart_rate,61,bpm,ring,2024-02-15T12:00:00Z\n\
               7,heart_rate,62,bpm,ring,2024-03-15T12:00:00Z\n";
    let csv = csv.replace("\n7,", &format!("\n{},", crate::support::user_ids::id(db.id_type, 7)));
    let path = scratch.file("vitals.csv", csv);
    let ran = db.run(&["import", "--kind", "vitals", path.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("1 changed raw row of dates with frozen figures"), "{ran:?}");
    db.run_once();
    assert!(rejected(&db).await.ends_with("frozen"));
    assert!(pulse(&db, "2024-03-15").await.starts_with("3 of"));
}

#[tokio::test]
async fn rows_of_an_adopted_table_are_refused_and_deleted_like_others() {
    let db = Database::with_user_ids(aggregation::UserIdType::Bigint).await;
    db.execute(
        "CREATE TABLE readings (id bigint PRIMARY KEY, person bigint, kind text, reading float8, unit text, taken timestamptz);
         INSERT INTO readings SELECT n, 7, 'heart_rate', 60 + n, 'bpm', timestamptz '2024-02-10 10:00Z' + n * interval '1 day'
         FROM generate_series(0, 39) AS n",
    )
    .await;
    let map = "user_id=person,metric=kind,value=reading,unit=unit,source='app',started_at=taken";
    let adopt = ["adopt", "--kind", "vitals", "--table", "readings", "--map", map];
    let adopted = db.run(&adopt);
    assert_eq!(adopted.code, 0, "{adopted:?}");
    db.run_once();
    assert_eq!(db.run(&["freeze", "--before", OPEN]).code, 0);
    let before = figures(&db).await;
    db.execute(
        "DELETE FROM readings WHERE taken < '2024-03-02';
         INSERT INTO readings VALUES (100, 7, 'heart_rate', 99, 'bpm', '2024-02-15 12:00Z')",
    )
    .await;
    db.run_once();
    assert_unchanged(&db, &before).await;
    assert_eq!(rejected(&db).await, "vitals 100 frozen");
    let rows: i64 =
        db.value("SELECT count(*) FROM vitals_raw WHERE started_at < '2024-03-02'").await;
    assert_eq!(rows, 1, "copies go with the app's rows");
}
