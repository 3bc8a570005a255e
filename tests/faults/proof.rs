//! The rows that a fault meets, and the proof that it left no trace in the figures.

use crate::support::tables::{RAW, difference};
use crate::support::{Database, Ran};

/// Numbers and texts of the rows that no log may show.
const UNTOLD: [&str; 5] = [".4142135", "3158.2718", "untold_food", "untold_test", "untold_watch"];

/// A database that remembers when a change was queued and when it was taken off the queue.
pub async fn remembering() -> Database {
    let db = Database::new().await;
    remember(&db).await;
    db
}

/// Has a database remember. The rows of the memory are committed, or undone, with what they tell.
pub async fn remember(db: &Database) {
    db.execute(
        "CREATE TABLE memory (change bigint, user_id bigint, attempts integer, queued boolean);
         CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN
             IF TG_OP = 'INSERT' THEN
                 INSERT INTO public.memory VALUES (NEW.id, NEW.user_id, NEW.attempts, true);
             ELSE
                 INSERT INTO public.memory VALUES (OLD.id, OLD.user_id, OLD.attempts, false);
             END IF;
             RETURN NULL;
         END $$;
         CREATE TRIGGER remember AFTER INSERT OR DELETE ON aggregation_queue
         FOR EACH ROW EXECUTE FUNCTION remember()",
    )
    .await;
}

/// Rows of three users: for each five heart rates, a meal and a laboratory result, 21 together. The
/// rounds 0 to 9 lie in the same hour.
pub async fn insert_rows(db: &Database, round: u32) {
    db.execute(&format!(
        "BEGIN;
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT u, 'heart_rate', 60.4142135 + (7 * u + 5 * r + 3 * {round}) % 30, 'bpm',
                'untold_watch', at, at
         FROM generate_series(1, 5) AS r, generate_series(1, 3) AS u,
              LATERAL (SELECT timestamptz '2024-05-01 10:00Z'
                              + (5 * {round} + r) * interval '1 minute' AS at) AS t
         ORDER BY r, u;
         INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
         SELECT u, 'untold_food', 'dinner', timestamptz '2024-05-01 18:00Z' + {round} * interval '1 s',
                'app', 3158.2718
         FROM generate_series(1, 3) AS u;
         INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source)
         SELECT u, 'untold_test', '3158.2718', 'mmol/L', 'final',
                timestamptz '2024-05-01 09:00Z' + {round} * interval '1 s', 'lab'
         FROM generate_series(1, 3) AS u;
         COMMIT"
    ))
    .await;
}

/// Asserts that the queue is empty and that every change was taken off it exactly once. The figures
/// must be those of a worker without faults, and the log must hold no value.
pub async fn assert_exact(db: &Database, ran: &Ran) {
    let queued: i64 = db.value("SELECT count(*) FROM aggregation_queue").await;
    assert_eq!(queued, 0, "pending, processing or dead: {}", ran.stderr);
    let once = "SELECT count(*) FILTER (WHERE queued = 1 AND done = 1), count(*)
                FROM (SELECT count(*) FILTER (WHERE queued) AS queued,
                             count(*) FILTER (WHERE NOT queued) AS done
                      FROM memory GROUP BY change) AS changes";
    let row = &db.query(once, &[]).await[0];
    let (once, all): (i64, i64) = (row.get(0), row.get(1));
    assert!(all > 0 && once == all, "{once} of {all} changes were done once");

    let from_scratch = Database::new().await;
    for table in RAW {
        from_scratch.insert_raw_rows(table, &db.raw_rows(table).await).await;
    }
    from_scratch.run_once();
    let (ours, wanted) = (db.figures_as_text().await, from_scratch.figures_as_text().await);
    assert!(!wanted.is_empty());
    if let Some(wrong) = difference(&ours, &wanted) {
        panic!("the figures are not those from scratch: {wrong}");
    }

    assert!(ran.stderr.contains("group_committed"), "it was to tell all it ever tells");
    for untold in UNTOLD {
        assert!(!ran.stderr.contains(untold), "{untold} in {}", ran.stderr);
    }
}

/// The same, and the fault counted no attempt.
pub async fn assert_exact_at_no_attempt(db: &Database, ran: &Ran) {
    assert_eq!(users_with_attempts(db).await, [] as [i64; 0], "{}", ran.stderr);
    assert_exact(db, ran).await;
}

/// The users of whose changes some were attempted in vain.
pub async fn users_with_attempts(db: &Database) -> Vec<i64> {
    let sql = "SELECT DISTINCT user_id FROM memory WHERE attempts > 0 ORDER BY 1";
    db.query(sql, &[]).await.iter().map(|row| row.get(0)).collect()
}
