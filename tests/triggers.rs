//! Raw rows queue themselves, whatever statement changes them and whoever runs it.

use tokio_postgres::Client;

use crate::support::outside::{Scratch, assert_says};
use crate::support::{Database, Ran, connect, worker_at};

const COLUMNS: &str = "(user_id, id, metric, value, unit, source, started_at, ended_at)";

/// An app that may change the raw tables and nothing else.
struct App {
    db: Database,
    role: String,
    url: String,
    client: Client,
}

impl App {
    async fn new() -> Self {
        let db = Database::new().await;
        let role = format!("app_{}", db.name);
        db.execute(&format!(
            "CREATE ROLE {role} LOGIN;
             GRANT SELECT, INSERT, UPDATE, DELETE ON vitals_raw, nutrition_raw, lab_raw TO {role}"
        ))
        .await;
        let url = db.url.replace("postgres@", &format!("{role}@"));
        let client = connect(&url).await;
        Self { db, role, url, client }
    }

    async fn execute(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    /// What a statement of the app puts into the queue: kind, raw row and UTC hour, in order.
    async fn queued_by(&self, sql: &str) -> Vec<String> {
        self.db.execute("DELETE FROM aggregation_queue").await;
        self.execute(sql).await;
        let rows = self
            .db
            .query(
                "SELECT format('%s %s:%s %s', kind, user_id, raw_id,
                               to_char(starts_at AT TIME ZONE 'UTC', 'HH24'))
                 FROM aggregation_queue ORDER BY 1",
                &[],
            )
            .await;
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn gone(self) {
        self.db.execute(&format!("DROP OWNED BY {0}; DROP ROLE {0}", self.role)).await;
    }
}

fn sample(id: i32, hour: i32) -> String {
    format!(
        "(1, {id}, 'heart_rate', 60, 'bpm', 'watch', '2024-05-01 {hour}:00Z', '2024-05-01 {hour}:00Z')"
    )
}

#[tokio::test]
async fn an_app_with_no_right_to_the_queue_fills_it_by_every_statement() {
    let app = App::new().await;
    let nobody: Vec<String> = Vec::new();

    let insert =
        format!("INSERT INTO vitals_raw {COLUMNS} VALUES {}, {}", sample(1, 10), sample(2, 11));
    assert_eq!(app.queued_by(&insert).await, ["vitals 1:1 10", "vitals 1:2 11"]);
    let in_place = "UPDATE vitals_raw SET value = 70";
    assert_eq!(app.queued_by(in_place).await, ["vitals 1:1 10", "vitals 1:2 11"]);
    let moved = "UPDATE vitals_raw SET started_at = '2024-05-01 15:00Z', ended_at = '2024-05-01 15:00Z' WHERE id = 1";
    assert_eq!(app.queued_by(moved).await, ["vitals 1:1 10", "vitals 1:1 15"]);
    let to_another_user = "UPDATE vitals_raw SET user_id = 7 WHERE id = 2";
    assert_eq!(app.queued_by(to_another_user).await, ["vitals 1:2 11", "vitals 7:2 11"]);
    assert_eq!(app.queued_by("DELETE FROM vitals_raw").await, ["vitals 1:1 15", "vitals 7:2 11"]);

    for nothing in [
        "UPDATE vitals_raw SET value = 1 WHERE false",
        "DELETE FROM vitals_raw WHERE user_id = 999",
        "INSERT INTO lab_raw SELECT * FROM lab_raw",
        "BEGIN; INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source)
         VALUES (1, '', 'lunch', now(), ''); ROLLBACK",
    ] {
        assert_eq!(app.queued_by(nothing).await, nobody, "{nothing}");
    }

    for forbidden in [
        "SELECT 1 FROM aggregation_queue",
        "DELETE FROM aggregation_queue",
        "SELECT nextval('aggregation_lease')",
    ] {
        let error = app.client.batch_execute(forbidden).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501", "{forbidden}");
    }
    app.gone().await;
}

#[tokio::test]
async fn an_upsert_queues_new_and_replaced_rows_once_each() {
    let app = App::new().await;
    app.execute(&format!(
        "INSERT INTO vitals_raw {COLUMNS} VALUES {}, {}",
        sample(1, 10),
        sample(2, 11)
    ))
    .await;
    let upsert = format!(
        "INSERT INTO vitals_raw {COLUMNS} VALUES {}, {}, {}
         ON CONFLICT (user_id, id) DO UPDATE
         SET value = excluded.value, started_at = excluded.started_at, ended_at = excluded.ended_at",
        sample(1, 10),
        sample(2, 12),
        sample(3, 13),
    );
    assert_eq!(
        app.queued_by(&upsert).await,
        ["vitals 1:1 10", "vitals 1:2 11", "vitals 1:2 12", "vitals 1:3 13"]
    );
    let ignored =
        format!("INSERT INTO vitals_raw {COLUMNS} VALUES {} ON CONFLICT DO NOTHING", sample(1, 20));
    assert_eq!(app.queued_by(&ignored).await, Vec::<String>::new());
    app.gone().await;
}

#[tokio::test]
async fn nutrition_and_labs_queue_themselves_as_vitals_do() {
    let app = App::new().await;
    let tables = [
        (
            "nutrition",
            "nutrition_raw",
            "eaten_at",
            "(user_id, id, food_name, meal_type, eaten_at, source) VALUES (1, 5, '', 'lunch', '2024-05-01 10:00Z', '')",
        ),
        (
            "labs",
            "lab_raw",
            "collected_at",
            "(user_id, id, test_name, value_text, status, collected_at, source) VALUES (1, 5, '', '1', 'final', '2024-05-01 10:00Z', '')",
        ),
    ];
    for (kind, table, time, row) in tables {
        let at_10 = format!("{kind} 1:5 10");
        let at_12 = format!("{kind} 1:5 12");
        assert_eq!(app.queued_by(&format!("INSERT INTO {table} {row}")).await, [at_10.as_str()]);
        let moved = format!("UPDATE {table} SET {time} = '2024-05-01 12:00Z'");
        assert_eq!(app.queued_by(&moved).await, [at_10.as_str(), at_12.as_str()]);
        assert_eq!(app.queued_by(&format!("DELETE FROM {table}")).await, [at_12.as_str()]);
    }
    app.gone().await;
}

#[tokio::test]
async fn copy_queues_each_row_also_for_an_app_without_rights_to_the_queue() {
    let app = App::new().await;
    // `worker import` uses COPY; beside the raw tables it looks at the schema's version only.
    app.db.execute(&format!("GRANT SELECT ON __diesel_schema_migrations TO {}", app.role)).await;
    let scratch = Scratch::new();
    let rows = "user_id,metric,value,unit,started_at\n1,heart_rate,60,bpm,2024-05-01T10:00:00Z\n1,heart_rate,61,bpm,2024-05-01T11:00:00Z\n";
    let file = scratch.file("rows.csv", rows);
    let mut import = worker_at(&app.url);
    import.args(["import", "--kind", "vitals"]).arg(&file);
    let ran = Ran::of(import.output().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "2 rows imported\n"), "{ran:?}");
    assert_eq!(app.db.value::<i64>("SELECT count(*) FROM aggregation_queue").await, 2);
    assert_says(&app.db.run(&["run-once"]).stdout, &["2 completed"]);
    app.gone().await;
}

#[tokio::test]
async fn truncating_a_raw_table_queues_all_that_was_in_it() {
    let app = App::new().await;
    app.execute(&format!(
        "INSERT INTO vitals_raw {COLUMNS} VALUES {}, {}",
        sample(1, 10),
        sample(2, 11)
    ))
    .await;
    app.db.run_once();
    assert_eq!(app.db.value::<i64>("SELECT count(*) FROM vitals_daily").await, 1);

    app.db.execute("TRUNCATE vitals_raw").await;

    assert_eq!(app.db.value::<i64>("SELECT count(*) FROM aggregation_queue").await, 2);
    app.db.run_once();
    assert_eq!(app.db.value::<i64>("SELECT count(*) FROM vitals_daily").await, 0);
    app.gone().await;
}

#[tokio::test]
async fn a_table_of_the_apps_own_cannot_take_the_queue_s_place() {
    let app = App::new().await;
    // Were it found first, its trigger would run with the rights of the raw tables' owner.
    app.execute("CREATE TEMP TABLE aggregation_queue (LIKE nutrition_raw)").await;
    app.execute("DROP TABLE pg_temp.aggregation_queue").await;
    app.db.execute(&format!("GRANT SELECT ON aggregation_queue TO {}", app.role)).await;
    app.execute("CREATE TEMP TABLE aggregation_queue (LIKE aggregation_queue INCLUDING DEFAULTS INCLUDING IDENTITY)").await;
    app.execute(&format!("INSERT INTO vitals_raw {COLUMNS} VALUES {}", sample(1, 10))).await;
    let hijacked: i64 = app
        .client
        .query_one("SELECT count(*) FROM pg_temp.aggregation_queue", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(hijacked, 0);
    assert_eq!(app.db.value::<i64>("SELECT count(*) FROM aggregation_queue").await, 1);
    app.gone().await;
}

#[tokio::test]
async fn times_that_no_calendar_has_are_queued_and_rejected_without_harm_to_others() {
    let app = App::new().await;
    app.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at) VALUES
             (1, 'heart_rate', 60, 'bpm', 'watch', 'infinity', 'infinity'),
             (1, 'heart_rate', 60, 'bpm', 'watch', '-infinity', 'infinity'),
             (1, 'heart_rate', 60, 'bpm', 'watch', '4000-01-01 BC', '294000-01-01'),
             (1, 'heart_rate', 60, 'bpm', 'watch', '2024-05-01 10:00Z', '2024-05-01 10:00Z')",
    )
    .await;
    let run = app.db.run_once();
    assert_eq!(
        (&run["rows_claimed"], &run["rows_failed"], &run["pending_after"]),
        (&4.into(), &0.into(), &0.into())
    );
    assert_eq!(app.db.value::<i64>("SELECT count(*) FROM rejected_rows").await, 3);
    assert_eq!(
        app.db.value::<i64>("SELECT count(*) FROM vitals_daily WHERE sample_count = 1").await,
        1
    );
    app.gone().await;
}
