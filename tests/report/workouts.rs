//! Workouts by type.

use super::{page, table};
use crate::support::Database;
use crate::support::rows::vital;

#[tokio::test]
async fn workouts_of_a_week_are_listed_by_type_in_the_units_of_the_user() {
    let db = Database::new().await;
    for (day, kind, minutes, km) in
        [(1, "Running", 30, 5), (3, "Outdoor Run", 45, 8), (4, "Yoga", 60, 0)]
    {
        let [start, end] = ["07:00Z", "08:00Z"].map(|time| format!("2024-05-0{day} {time}"));
        let rows = [
            vital("workouts", 1, "count"),
            vital("workout_duration", minutes, "min"),
            vital("workout_distance", km, "km"),
        ];
        let known = rows.into_iter().take(if km == 0 { 2 } else { 3 });
        db.insert(known.map(|row| row.between(&start, &end).text("workout_type", kind))).await;
    }
    db.run_once();
    let page = page(&db, "1", &["--from", "2024-05-01", "--to", "2024-05-07"]);
    let summary = "Figures: workouts by type";
    assert_eq!(table(&page, summary), [["2", "75", "–", "13"], ["1", "60", "–", "–"]]);
    let (_, behind) = page.split_once(summary).unwrap();
    for head in [">Running<", ">Yoga<", ">Duration min<", ">Distance km<"] {
        assert!(behind.contains(head), "{head}");
    }
}
