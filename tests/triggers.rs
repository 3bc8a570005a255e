//! Triggers queue raw rows, for every statement and every role that changes them.

mod packing;

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

    /// The entries that an app's statement adds to the queue: kind, raw row and UTC hour, in order.
    async fn queued_by(&self, sql: &str) -> Vec<String> {
        self.db.execute("DELETE FROM aggregation_queue").await;
        self.execute(sql).await;
        let rows = self
            .db
            .query(
                "SELECT format('%s %s:%s %s', kind, user_id, raw_id,
                               to_char(coalesce(row_start, starts_at) AT TIME ZONE 'UTC', 'HH24'))
                 FROM aggregation_queue, unnest(raw_ids, row_starts) AS r (raw_id, row_start)
                 ORDER BY 1",
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

    for forbidden in ["SELECT 1 FROM aggregation_queue", "DELETE FROM aggregation_queue"] {
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
    assert_eq!(
        app.db
            .value::<i64>("SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue")
            .await,
        2
    );
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

    assert_eq!(
        app.db
            .value::<i64>("SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue")
            .await,
        2
    );
    app.db.run_once();
    assert_eq!(app.db.value::<i64>("SELECT count(*) FROM vitals_daily").await, 0);
    app.gone().await;
}

#[tokio::test]
async fn a_truncate_that_would_not_see_every_row_is_refused() {
    let app = App::new().await;
    app.execute(&format!("INSERT INTO vitals_raw {COLUMNS} VALUES {}", sample(1, 10))).await;
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        // Its snapshot is older than the second row, which TRUNCATE would remove all the same.
        let late = app.db.connect().await;
        late.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}; SELECT 1")).await.unwrap();
        let row = sample(2, 11);
        app.execute(&format!("INSERT INTO vitals_raw {COLUMNS} VALUES {row}")).await;
        let refused = late.batch_execute("TRUNCATE vitals_raw").await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "25000", "{refused}");
        late.batch_execute("ROLLBACK").await.unwrap();
        app.execute("DELETE FROM vitals_raw WHERE id = 2").await;
    }
    app.db.execute("TRUNCATE vitals_raw").await;
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
async fn functions_and_operators_of_the_apps_own_are_not_used_by_the_triggers() {
    let app = App::new().await;
    let own = format!("own_{}", app.db.name);
    app.db.execute(&format!("CREATE SCHEMA {own} AUTHORIZATION {}", app.role)).await;
    // Found first by the app, before those of the server: each raises an error.
    app.execute(&format!(
        "SET search_path = {own}, public, pg_catalog;
         CREATE FUNCTION {own}.compared(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql
             AS 'BEGIN RAISE ''taken''; END';
         CREATE FUNCTION {own}.compared(interval, interval) RETURNS boolean LANGUAGE plpgsql
             AS 'BEGIN RAISE ''taken''; END';
         CREATE FUNCTION {own}.apart(timestamptz, timestamptz) RETURNS interval LANGUAGE plpgsql
             AS 'BEGIN RAISE ''taken''; END';
         CREATE FUNCTION {own}.isfinite(timestamptz) RETURNS boolean LANGUAGE plpgsql
             AS 'BEGIN RAISE ''taken''; END';
         CREATE FUNCTION {own}.aggregation_datable(timestamptz) RETURNS timestamptz LANGUAGE plpgsql
             AS 'BEGIN RAISE ''taken''; END';
         CREATE FUNCTION {own}.aggregation_end(timestamptz, timestamptz) RETURNS timestamptz LANGUAGE plpgsql
             AS 'BEGIN RAISE ''taken''; END'"
    ))
    .await;
    for (function, types, operators) in [
        ("compared", ["timestamptz"; 2], &["=", "<", ">", "<=", ">="][..]),
        ("compared", ["interval"; 2], &["=", "<", ">", "<=", ">="]),
        ("apart", ["timestamptz"; 2], &["-"]),
    ] {
        for operator in operators {
            let [left, right] = types;
            app.execute(&format!(
                "CREATE OPERATOR {own}.{operator}
                     (FUNCTION = {own}.{function}, LEFTARG = {left}, RIGHTARG = {right})"
            ))
            .await;
        }
    }
    for trap in ["now() > now()", "now() - now()", "aggregation_end(now(), now())"] {
        let error = app.client.batch_execute(&format!("SELECT {trap}")).await.unwrap_err();
        assert_eq!(error.as_db_error().unwrap().message(), "taken", "{trap}");
    }

    let insert = "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
                  VALUES (1, 'steps', 60, 'count', 'watch', '2024-05-01 10:00Z', '2024-05-01 11:00Z')";
    assert_eq!(app.queued_by(insert).await.len(), 1);
    assert_eq!(app.queued_by("UPDATE vitals_raw SET value = 70").await.len(), 1);
    assert_eq!(app.queued_by("DELETE FROM vitals_raw").await.len(), 1);
    let hour: bool =
        app.db.value("SELECT ends_at = starts_at + interval '1 hour' FROM aggregation_queue").await;
    assert!(hour);
    app.gone().await;
}

/// Pairs of times with the end that the queue must have for them: within the calendar, and at most
/// 48 hours after the beginning.
const ENDS: &str = "
    WITH times AS (
        SELECT at + apart AS at
        FROM unnest(ARRAY[
                 '0001-01-01 00:00Z', '0001-01-02 12:00Z', '2024-03-30 12:00Z', '2024-10-26 12:00Z',
                 '2024-05-01 10:00Z', '9999-12-30 00:00Z', '9999-12-31 00:00Z'
             ]::timestamptz[]) AS at,
             unnest(ARRAY[
                 '-48 hours -1 microsecond', '-48 hours', '-1 microsecond', '0', '1 microsecond',
                 '47:59:59.999999', '48 hours', '48:00:00.000001', '49 hours', '400 days'
             ]::interval[]) AS apart
        UNION ALL
        SELECT unnest(ARRAY['-infinity', '4000-01-01 BC', '294000-01-01', 'infinity', NULL]::timestamptz[])
    ), cut AS (
        SELECT at,
               CASE WHEN at < '0001-01-01 00:00Z' THEN timestamptz '0001-01-01 00:00Z'
                    WHEN at > '9999-12-31 00:00Z' THEN timestamptz '9999-12-31 00:00Z'
                    WHEN at IS NULL THEN timestamptz '0001-01-01 00:00Z'
                    ELSE at
               END AS datable
        FROM times
    )
    SELECT count(*), count(*) FILTER (WHERE is_end), count(*) FILTER (WHERE queued IS DISTINCT FROM expected)
    FROM (
        SELECT aggregation_end(s.at, e.at) AS queued, is_end,
               CASE WHEN is_end THEN e.datable ELSE aggregation_datable(s.at) END AS expected
        FROM cut AS s
        CROSS JOIN cut AS e
        CROSS JOIN LATERAL (
            SELECT coalesce(isfinite(s.at) AND e.at >= s.at
                            AND extract(epoch FROM e.datable) - extract(epoch FROM s.datable) <= 48 * 3600,
                            false) AS is_end
        ) AS judged
    ) AS ends";

#[tokio::test]
async fn an_interval_ends_where_it_ends_if_that_is_within_48_hours_and_else_where_it_starts() {
    let app = App::new().await;
    // Clocks are changed on 31 March and 27 October 2024 in Berlin: its days have 23 and 25 hours.
    for zone in ["UTC", "Europe/Berlin", "Pacific/Kiritimati"] {
        app.db.execute(&format!("SET TimeZone = '{zone}'")).await;
        let rows = app.db.query(ENDS, &[]).await;
        let [pairs, ends, wrong]: [i64; 3] = [0, 1, 2].map(|column| rows[0].get(column));
        assert!(pairs > 5_000 && ends > 200, "{pairs} pairs, {ends} with an end of their own");
        assert_eq!(wrong, 0, "{zone}");
    }
    app.gone().await;
}

#[tokio::test]
async fn the_times_of_a_queue_row_cost_the_app_no_call_of_a_function() {
    let app = App::new().await;
    // A function of ours that the planner does not take apart is called for each row, which made an
    // insert twice as expensive.
    let plan = app
        .db
        .query(
            "EXPLAIN VERBOSE SELECT aggregation_datable(started_at), aggregation_end(started_at, ended_at)
             FROM vitals_raw",
            &[],
        )
        .await;
    let plan: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
    assert!(plan.iter().any(|line| line.contains("LEAST")), "{plan:#?}");
    assert!(!plan.iter().any(|line| line.contains("aggregation_")), "{plan:#?}");
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
