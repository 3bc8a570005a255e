//! A policy that hides raw rows from the worker must not look as if they were deleted.

use crate::support::outside::assert_says;
use crate::support::samples::insert_samples;
use crate::support::{Database, Ran, worker_at};

#[tokio::test]
async fn rows_that_a_policy_hides_change_no_figure_and_count_no_attempt() {
    let db = Database::new().await;
    let role = format!("hidden_{}", db.name);
    insert_samples(&db, 2, 5).await;
    db.run_once();
    let figures =
        "SELECT md5(string_agg(d::text, ';' ORDER BY user_id, metric)) FROM vitals_daily AS d";
    let before: String = db.value(figures).await;
    db.execute(&format!(
        "CREATE ROLE {role} LOGIN;
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role};
         ALTER TABLE vitals_raw ENABLE ROW LEVEL SECURITY;
         CREATE POLICY of_the_app ON vitals_raw USING (current_user <> '{role}');
         UPDATE vitals_raw SET source = source"
    ))
    .await;
    let url = db.url.replace("postgres@", &format!("{role}@"));
    for arguments in [
        &["run-once"][..],
        &["verify", "--repair"],
        &["backfill", "--from", "2024-01-01", "--to", "2024-12-31"],
    ] {
        let ran = Ran::of(worker_at(&url).args(arguments).output().unwrap());
        assert_ne!(ran.code, 0, "{arguments:?}: {ran:?}");
        let cause = "row security of vitals_raw hides rows from this role";
        assert_says(&ran.stderr, &["42501", cause]);
        assert_eq!(db.value::<String>(figures).await, before, "{arguments:?}");
    }
    let queue = "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue WHERE state = 'pending' AND attempts = 0";
    assert_eq!(db.value::<i64>(queue).await, 10);

    // They wait for a moment, as their groups were interrupted.
    db.execute("UPDATE aggregation_queue SET not_before = now()").await;
    db.execute(&format!("ALTER ROLE {role} BYPASSRLS")).await;
    assert_eq!(Ran::of(worker_at(&url).arg("run-once").output().unwrap()).code, 0);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM aggregation_queue").await, 0);
    db.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}
