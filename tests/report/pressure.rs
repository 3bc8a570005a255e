//! Single measurements of blood pressure.

use super::{MAY, between, page, table};
use crate::support::Database;

async fn insert(db: &Database) {
    db.execute(
        "INSERT INTO user_profiles VALUES (1, 'Europe/Berlin', '{}');
         INSERT INTO vitals_raw (user_id, metric, value, comparator, unit, source, started_at, ended_at)
         SELECT 1, 'blood_pressure_' || which, value, comparator, 'mmHg', 'cuff', at, at
         FROM (VALUES ('systolic', 118, NULL, timestamptz '2024-05-01 07:30+02'),
                      ('diastolic', 76, NULL, '2024-05-01 07:30:02+02'),
                      ('systolic', 141, NULL, '2024-05-01 21:05+02'),
                      ('diastolic', 92.5, NULL, '2024-05-01 21:05+02'),
                      ('systolic', 290, '>', '2024-05-03 08:00+02'),
                      ('diastolic', 80, NULL, '2024-05-03 08:00+02'),
                      ('systolic', 125, NULL, '2024-05-04 08:00+02'))
              AS v (which, value, comparator, at)",
    )
    .await;
    assert_eq!(db.run_once()["rows_failed"], 0);
}

#[tokio::test]
async fn each_pair_is_drawn_and_listed_with_its_time() {
    let db = Database::new().await;
    insert(&db).await;

    let days = page(&db, "1", &MAY);

    let listed = table(&days, "Measurements: blood pressure, mmHg");
    assert_eq!(
        listed,
        [
            ["07:30", "118", "76.0", "normal", ""],
            ["21:05", "141", "92.5", "stage 2", ""],
            ["08:00", "290", "80.0", "severe", "only a bound"],
        ]
    );
    let drawn = between(&days, "id=\"blood-pressure-chart-title", "</svg>");
    assert_eq!(drawn.matches("class=\"pair\"").count(), 3);
    assert!(drawn.contains("Wed 1 May 2024 21:05: 141/92.5 mmHg"), "{drawn}");
    let pairs: i64 = {
        let rows = db.query("SELECT sum(pair_count) FROM blood_pressure_daily", &[]).await;
        rows[0].get(0)
    };
    assert_eq!(pairs, 3);

    let day = page(&db, "1", &["--from", "2024-05-01", "--to", "2024-05-01"]);
    let drawn = between(&day, "id=\"blood-pressure-chart-title", "</svg>");
    assert_eq!(drawn.matches("class=\"pair\"").count(), 2);
    assert!(drawn.contains(">09:00<"), "{drawn}");
}
