//! Deleting old changes.

use super::{changes, days};
use crate::support::Database;
use crate::support::samples::insert_samples;

#[tokio::test]
async fn old_changes_are_deleted_in_portions_and_a_cursor_before_them_is_refused() {
    let db = Database::new().await;
    insert_samples(&db, 1, 1).await;
    db.run_once();
    let (_, early) = changes(&db, "").await;
    db.execute(
        "INSERT INTO figure_changes (epoch, user_id, local_date, kind, changed_at)
         SELECT 1, 7, '2024-01-01', 'labs', now() - interval '8 days' FROM generate_series(1, 12000);
         UPDATE figure_changes SET changed_at = now() - interval '8 days'",
    )
    .await;
    insert_samples(&db, 2, 1).await;
    db.run_once();
    let expected = days(&[(2, "2024-05-01", "vitals")]);
    let (left, cursor) = changes(&db, "").await;
    assert_eq!(left, expected);
    assert_eq!(changes(&db, &cursor).await.0, []);
    let ran = db.run(&["changes", "--after", &early]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("were deleted for their age"), "{}", ran.stderr);

    // Those that are kept are kept.
    let mut worker = db.worker();
    worker.arg("run-once").env("WORKER__CHANGES__KEEP_DAYS", "1");
    assert!(worker.status().unwrap().success());
    assert_eq!(changes(&db, "").await.0, expected);
}
