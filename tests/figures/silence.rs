//! Health values, foods and names of tests are never logged, not even with an error.

use super::{insert, lines, user_in};
use crate::support::{Database, Ran};

/// Digits and words that occur nowhere else. A double's text begins with the first of them.
const SECRETS: [&str; 7] =
    ["133713", "271828", "314159", "ambrosia", "kryptonite", "unobtainium", "eldritch"];

/// A user with rows of each kind, good and rejected, full of secrets.
async fn secretive() -> Database {
    let db = user_in("Europe/Berlin", "").await;
    let noon = "2024-05-01 12:00+02";
    insert(
        &db,
        &[
            ("heart_rate", "133.713", "watch", noon, noon),
            ("steps", "271828", "watch", noon, noon),
            ("steps", "27182.8", "watch", noon, "2024-05-02 03:00+02"),
            ("blood_glucose", "133.713", "cgm", noon, noon),
            ("blood_pressure_systolic", "133.713", "cuff", noon, noon),
            ("blood_pressure_diastolic", "31.4159", "cuff", noon, noon),
        ],
    )
    .await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         VALUES (1, 'heart_rate', 31.4159, 'unobtainium', 'watch', now(), now()),
                (1, 'sleep_asleep', 1, 'min', 'watch', '2024-05-01 00:00Z', '2024-05-01 02:13:22.2828Z');
         INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
         VALUES (1, 'ambrosia', 'dinner', '2024-05-01 12:00+02', 'app', 3141.59),
                (1, 'ambrosia', 'eldritch', '2024-05-01 12:00+02', 'app', -1);
         INSERT INTO lab_raw (user_id, test_name, value_text, unit, reference_range, status, collected_at, source)
         VALUES (1, 'kryptonite', '1337.13', 'unobtainium', '2.71828-3.14159', 'final', '2024-05-01 12:00+02', 'lab'),
                (1, 'kryptonite', 'eldritch', NULL, 'eldritch', 'final', '2024-05-01 12:00+02', 'lab'),
                (1, 'kryptonite', '271828e999', NULL, NULL, 'final', '2024-05-01 12:00+02', 'lab')",
    )
    .await;
    db
}

/// The same digits may be there with a decimal point.
fn assert_silent(what: &str, said: &str) {
    let bare = said.to_lowercase().replace(['.', ','], "");
    for secret in SECRETS {
        assert!(!bare.contains(secret), "{what} says {secret}:\n{said}");
    }
}

/// Runs the worker where it says as much as it can.
fn run(db: &Database, level: &str, format: &str, arguments: &[&str]) -> Ran {
    let mut worker = db.worker();
    worker
        .env("WORKER__LOG__LEVEL", level)
        .env("WORKER__LOG__FORMAT", format)
        .env("RUST_BACKTRACE", "full")
        .env("RUST_LOG", level)
        .args(arguments);
    let ran = Ran::of(worker.output().unwrap());
    assert_silent(&format!("stdout of {arguments:?} at {level}"), &ran.stdout);
    assert_silent(&format!("stderr of {arguments:?} at {level}"), &ran.stderr);
    ran
}

#[tokio::test]
async fn a_run_says_no_health_value_food_or_test_at_any_level() {
    for (level, format) in
        [("info", "text"), ("debug", "json"), ("debug", "text"), ("trace", "json")]
    {
        let db = secretive().await;
        let ran = run(&db, level, format, &["run-once", "--json"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(ran.json()["rows_rejected"], 4);
        assert!(!ran.stderr.is_empty(), "something was logged at {level}");
        assert_eq!(run(&db, level, format, &["status"]).code, 0);
        let listed = lines(&db, "SELECT rejected_rows::text FROM rejected_rows").await;
        assert_eq!(listed.len(), 4);
        assert_silent("the list of rejected rows", &listed.join("\n"));
    }
}

#[tokio::test]
async fn a_group_that_the_database_refuses_is_failed_in_silence() {
    // PostgreSQL's own messages quote the whole row that breaks a constraint.
    const REFUSALS: [&str; 2] = [
        "ALTER TABLE {table} ADD CONSTRAINT refused CHECK (user_id <> 1)",
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'refused: %', NEW USING DETAIL = NEW::text, HINT = NEW::text; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()",
    ];
    for refusal in REFUSALS {
        for table in [
            "vitals_daily",
            "vitals_hourly",
            "sleep_daily",
            "blood_pressure_daily",
            "glucose_daily",
            "nutrition_daily",
            "lab_daily",
        ] {
            let db = secretive().await;
            db.execute(&refusal.replace("{table}", table)).await;
            let ran = run(&db, "debug", "json", &["run-once", "--json"]);
            assert_eq!(ran.code, 3, "{}", ran.stderr);
            assert!(!ran.events("group_failed").is_empty(), "{}", ran.stderr);
            let errors = lines(&db, "SELECT DISTINCT last_error FROM aggregation_queue").await;
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert_silent("last_error", &errors.join("\n"));
            run(&db, "debug", "text", &["status"]);
        }
    }
}

#[tokio::test]
async fn a_file_with_lines_that_cannot_be_used_is_refused_in_silence() {
    let db = Database::new().await;
    let folder = std::env::temp_dir().join(&db.name);
    std::fs::create_dir_all(&folder).unwrap();
    for (kind, text) in [
        (
            "vitals",
            "user_id,metric,value,unit,source,started_at\n\
             1,heart_rate,133.713x,unobtainium,watch,2024-05-01T12:00:00Z\n\
             eldritch,heart_rate,133.713,bpm,watch,2024-05-01T12:00:00Z\n\
             1,heart_rate,133.713,bpm,watch,ambrosia\n\
             1,heart_rate,133.713,bpm,watch,2024-05-01T12:00:00Z,kryptonite,too,many,fields\n\
             1,heart_rate,133.713,bpm\n",
        ),
        (
            "nutrition",
            "user_id,food_name,meal_type,eaten_at,source,energy_kcal\n\
             1,ambrosia,dinner,eldritch,app,3.14159\n\
             1,ambrosia,dinner,2024-05-01T12:00:00Z,app,3.14159kcal\n",
        ),
        (
            "labs",
            "user_id,test_name,value_text,status,collected_at,source\n\
             1,kryptonite,,final,2024-05-01T12:00:00Z,lab\n\
             1,kryptonite,271828,final,eldritch,lab\n",
        ),
    ] {
        let file = folder.join(format!("{kind}.csv"));
        std::fs::write(&file, text).unwrap();
        let ran = run(&db, "debug", "json", &["import", "--kind", kind, file.to_str().unwrap()]);
        assert_eq!(ran.code, 3, "{kind}: {}{}", ran.stdout, ran.stderr);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_damaged_figure_fails_its_group_in_silence() {
    let db = secretive().await;
    db.run_once();
    db.execute("UPDATE vitals_hourly SET sketch = '\\x00133713' WHERE metric = 'heart_rate'").await;
    let later = "2024-05-01 15:00+02";
    insert(&db, &[("heart_rate", "133.713", "watch", later, later)]).await;
    let ran = run(&db, "trace", "json", &["run-once", "--json"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_eq!(ran.events("group_failed").len(), 1);
}
