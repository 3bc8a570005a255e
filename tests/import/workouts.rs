//! Workouts with their types, from exports and CSV.

use std::fs;

use super::exports::{lines, sample};
use crate::support::Database;
use crate::support::outside::{Scratch, assert_says};

const BY_TYPE: &str = "SELECT concat_ws(' ', local_date, workout_type, workouts, duration_minutes, energy_kcal::numeric(8, 1), \
    distance_m::numeric(8, 1)) FROM workouts_daily ORDER BY local_date, workout_type";

#[tokio::test]
async fn workouts_of_an_export_have_their_types_also_if_it_was_imported_before_there_were_any() {
    let db = Database::new().await;
    let import = ["import", "--user", "1", "--time-zone", "Europe/Berlin", &sample("export.xml")];
    assert_eq!(db.run(&import).code, 0);
    db.run_once();
    let expected = "2024-05-01 running 1 30.5 310.0 5200.0\n2024-05-02 cycling 1 45 239.0 16093.4";
    assert_eq!(lines(&db, BY_TYPE).await, expected);

    // As earlier versions loaded it.
    db.execute(
        "UPDATE vitals_raw SET workout_type = NULL,
                ended_at = CASE metric WHEN 'workouts' THEN started_at ELSE ended_at END
         WHERE metric LIKE 'workout%'",
    )
    .await;
    db.run_once();
    assert_says(&lines(&db, BY_TYPE).await, &["2024-05-01 unknown 1 30.5 310.0 5200.0"]);
    let again = db.run(&import);
    assert_says(&again.stdout, &["8 rows imported"]);
    db.run_once();
    assert_eq!(lines(&db, BY_TYPE).await, expected);
}

#[tokio::test]
async fn workouts_of_types_that_are_not_listed_are_imported_and_told() {
    let (db, scratch) = (Database::new().await, Scratch::new());
    let export = fs::read_to_string(sample("health-auto-export.json")).unwrap();
    let file = scratch.file("export.json", export.replace("Outdoor Run", "Quidditch Match"));
    let import =
        ["import", "--user", "1", "--time-zone", "America/Los_Angeles", file.to_str().unwrap()];
    let ran = db.run(&import);
    assert_says(&ran.stdout, &["counted as other: 1 workout", "1 Quidditch.Match"]);
    let told = db.run(&[&import[..], &["--json"]].concat()).json();
    assert_eq!(told["unlisted_workouts"]["Quidditch.Match"], 1);
    db.run_once();
    assert_says(&lines(&db, BY_TYPE).await, &["2024-02-07 other 1 29 310.5"]);
}

#[tokio::test]
async fn a_csv_may_have_types_of_workouts() {
    let (db, scratch) = (Database::new().await, Scratch::new());
    let file = scratch.file(
        "vitals.csv",
        "user_id,metric,value,unit,started_at,ended_at,workout_type\n\
         1,workouts,1,count,2024-05-01T10:00:00Z,2024-05-01T11:00:00Z,Yoga\n\
         1,workout_duration,55,min,2024-05-01T10:00:00Z,2024-05-01T11:00:00Z,Yoga\n\
         1,workouts,1,count,2024-05-01T12:00:00Z,2024-05-01T13:00:00Z,\n",
    );
    assert_eq!(db.run(&["import", file.to_str().unwrap()]).code, 0);
    db.run_once();
    assert_eq!(lines(&db, BY_TYPE).await, "2024-05-01 unknown 1\n2024-05-01 yoga 1 55");
}
