//! `worker doctor` tries whether changes of raw rows reach the queue.

use crate::support::Database;
use crate::support::doctor::assert_check;

#[tokio::test]
async fn what_the_doctor_tries_leaves_nothing_behind_and_uses_up_no_number() {
    let db = Database::new().await;
    assert_check(
        &db.url,
        "queueing",
        0,
        "ok",
        &["an insert, an update and a delete", "rolled back"],
    );
    for table in ["vitals_raw", "nutrition_raw", "lab_raw", "aggregation_queue"] {
        assert_eq!(db.value::<i64>(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    let id = "INSERT INTO lab_raw (user_id, test_name, value_text, status, collected_at, source)
              VALUES (1, 'ferritin', '30', 'final', '2024-05-01 08:00Z', 'lab') RETURNING id";
    assert_eq!(db.value::<i64>(id).await, 1);
}

#[tokio::test]
async fn each_break_on_the_way_to_the_queue_is_an_error() {
    for (break_it, expected) in [
        (
            "DROP TRIGGER queue_inserted ON vitals_raw",
            &["INSERT of a row of vitals_raw does not reach the queue"][..],
        ),
        (
            "ALTER TABLE nutrition_raw DISABLE TRIGGER queue_updated",
            &["UPDATE of a row of nutrition_raw does not reach the queue"],
        ),
        (
            "ALTER TABLE lab_raw DISABLE TRIGGER ALL",
            &["INSERT of a row of lab_raw does not reach the queue"],
        ),
        (
            "CREATE FUNCTION queue_nothing() RETURNS trigger LANGUAGE plpgsql
             AS 'BEGIN RETURN NULL; END';
             CREATE OR REPLACE TRIGGER queue_deleted AFTER DELETE ON vitals_raw
             FOR EACH STATEMENT EXECUTE FUNCTION queue_nothing()",
            &["DELETE of a row of vitals_raw does not reach the queue"],
        ),
        (
            "CREATE UNIQUE INDEX one_each ON aggregation_queue (user_id, kind)",
            &["UPDATE in vitals_raw fails", "one_each"],
        ),
        (
            "CREATE ROLE poor_{db}; GRANT USAGE ON SCHEMA public TO poor_{db};
             ALTER FUNCTION queue_changed_labs() OWNER TO poor_{db}",
            &["INSERT in lab_raw fails", "permission denied for table aggregation_queue"],
        ),
    ] {
        let db = Database::new().await;
        db.execute(&break_it.replace("{db}", &db.name)).await;
        assert_check(&db.url, "queueing", 1, "error", expected);
    }
}

#[tokio::test]
async fn a_function_that_was_replaced_or_lost_its_rights_shows_in_the_catalogue_too() {
    let db = Database::new().await;
    db.execute(
        "CREATE OR REPLACE FUNCTION queue_updated_vitals() RETURNS trigger LANGUAGE plpgsql
         AS 'BEGIN RETURN NULL; END'",
    )
    .await;
    let role = format!("poor_{}", db.name);
    db.execute(&format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA public TO {role};
         ALTER FUNCTION queue_changed_labs() OWNER TO {role}"
    ))
    .await;
    let expected = [
        "queue_updated on vitals_raw (its function queue_updated_vitals is not that of this version)",
        "queue_changed_labs has no right to insert into the queue",
    ];
    assert_check(&db.url, "triggers", 1, "warning", &expected);
}

#[tokio::test]
async fn a_role_that_may_not_write_raw_rows_is_told_what_was_not_tried_and_who_can() {
    let db = Database::new().await;
    let role = format!("worker_{}", db.name);
    db.execute(&format!(
        "CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role};
         REVOKE DELETE ON lab_raw FROM {role}"
    ))
    .await;
    let url = db.url.replace("postgres@", &format!("{role}@"));
    let expected = [
        "was not tried",
        &format!("role {role} may not write to lab_raw"),
        "postgres is the owner",
    ];
    assert_check(&url, "queueing", 0, "untried", &expected);
    db.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_raw_table_with_columns_and_constraints_of_the_apps_is_no_error() {
    let db = Database::new().await;
    db.execute("ALTER TABLE vitals_raw ADD COLUMN tenant integer NOT NULL").await;
    let expected = ["was not tried", "vitals_raw refuses the trial row", "tenant"];
    assert_check(&db.url, "queueing", 0, "untried", &expected);
    db.execute(
        "ALTER TABLE vitals_raw DROP COLUMN tenant;
         CREATE TABLE people (id bigint PRIMARY KEY); INSERT INTO people VALUES (7);
         INSERT INTO user_profiles (user_id, time_zone) VALUES (7, 'UTC');
         ALTER TABLE vitals_raw ADD FOREIGN KEY (user_id) REFERENCES people",
    )
    .await;
    assert_check(&db.url, "queueing", 0, "ok", &[]);
}

#[tokio::test]
async fn the_doctor_waits_for_no_lock_of_the_apps() {
    let db = Database::new().await;
    let app = db.connect().await;
    app.batch_execute("BEGIN; LOCK TABLE nutrition_raw IN SHARE MODE").await.unwrap();
    let expected = ["was not tried", "nutrition_raw waited for a lock for more than 1 s"];
    assert_check(&db.url, "queueing", 0, "untried", &expected);
}
