//! No health value reaches a log, at any level.

use crate::support::Database;
use crate::support::running::{Running, eventually};

/// Texts of the rows that must not be in the log.
const SECRETS: [&str; 6] =
    ["7431.5", "secret_food", "secret_test", "secret_metric", "3158", "secret_watch"];

async fn insert_secrets(db: &Database) {
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, metric, 7431.5, 'count', 'secret_watch', '2024-05-01 10:00Z', '2024-05-01 11:00Z'
         FROM unnest(ARRAY['steps', 'secret_metric', 'heart_rate']) AS metric;
         INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
         VALUES (1, 'secret_food', 'dinner', '2024-05-01 10:00Z', 'app', 3158);
         INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source)
         VALUES (1, 'secret_test', '3158', 'mmol/L', 'final', '2024-05-01 10:00Z', 'lab')",
    )
    .await;
}

/// The parameters of statements, which the driver would log, in the form in which it would.
fn as_bytes(secret: &str) -> String {
    let bytes: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
    bytes.join(", ")
}

#[tokio::test]
async fn no_value_is_logged_at_the_most_talkative_level() {
    let db = Database::new().await;
    for level in ["trace", "trace,tokio_postgres=trace,diesel=trace,log=trace"] {
        insert_secrets(&db).await;
        let ran = crate::support::Ran::of(
            db.worker()
                .args(["run-once", "--json"])
                .env("WORKER__LOG__LEVEL", level)
                .output()
                .unwrap(),
        );
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(!ran.events("group_committed").is_empty(), "it is talkative");
        for secret in SECRETS {
            let shown = ran.stderr.contains(secret) || ran.stderr.contains(&as_bytes(secret));
            assert!(!shown, "{secret} in {}", ran.stderr);
        }
        assert!(!ran.stderr.contains("parameters"), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn nor_when_a_running_service_is_told_to_say_more() {
    let db = Database::new().await;
    let service = Running::service(db.worker(), &[]);
    service.logs("database_ready").await;
    service.signal("-USR1");
    service.logs("log_level_changed").await;
    insert_secrets(&db).await;
    eventually(&db, "SELECT count(*) FROM aggregation_queue", 0).await;
    let log = service.stops().stderr;
    for secret in SECRETS {
        assert!(!log.contains(secret) && !log.contains(&as_bytes(secret)), "{secret} in {log}");
    }
}
