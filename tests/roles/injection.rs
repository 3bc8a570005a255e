//! The content of text columns and arguments is data, never SQL.

use std::process::Command;

use super::Roles;
use crate::support::outside::Scratch;
use crate::support::{Database, Ran};

/// Texts that would do harm if they became SQL, in any kind of quotes.
const HARM: &str =
    r#"'; DROP TABLE vitals_raw; --"; DROP TABLE lab_raw; $$; {user_id} \'; $1 :x ?"#;

/// Every table and view with its columns, and every function.
async fn schema(db: &Database) -> Vec<String> {
    let sql = "SELECT format('%s.%s', attrelid::regclass, attname) FROM pg_attribute AS a
               JOIN pg_class AS c ON c.oid = attrelid
               WHERE relnamespace = quote_ident(current_schema())::regnamespace
               UNION ALL
               SELECT oid::regprocedure::text FROM pg_proc
               WHERE pronamespace = quote_ident(current_schema())::regnamespace
               ORDER BY 1";
    db.query(sql, &[]).await.iter().map(|row| row.get(0)).collect()
}

/// The columns of text that the app fills.
async fn text_columns(db: &Database, table: &str) -> Vec<String> {
    let sql = "SELECT column_name::text FROM information_schema.columns
               WHERE table_schema = current_schema() AND table_name = $1 AND data_type = 'text'";
    db.query(sql, &[&table]).await.iter().map(|row| row.get(0)).collect()
}

/// A row for each column of text, with harm in that one.
async fn insert_harm(db: &Database, table: &str, columns: &str, row: &str) -> usize {
    let texts = text_columns(db, table).await;
    for (user, text) in (2_i64..).zip(&texts) {
        db.execute(&format!("INSERT INTO {table} (user_id, {columns}) VALUES ({user}, {row})"))
            .await;
        let sql = format!("UPDATE {table} SET {text} = $2 WHERE user_id = $1");
        db.client.execute(&sql, &[&user, &HARM]).await.unwrap();
    }
    texts.len()
}

fn ran(mut worker: Command, arguments: &[&str]) -> Ran {
    Ran::of(worker.args(arguments).output().unwrap())
}

#[tokio::test]
async fn sql_in_a_column_of_text_is_text() {
    // As the owner, who could drop the tables.
    let roles = Roles::new().await;
    let db = &roles.db;
    let owner = || crate::support::worker_at(&roles.url(&roles.owner));
    let before = schema(db).await;
    let columns = insert_harm(
        db,
        "vitals_raw",
        "metric, value, unit, source, started_at, ended_at",
        "'heart_rate', 60, 'bpm', 'watch', '2024-05-01 10:00Z', '2024-05-01 10:00Z'",
    )
    .await
        + insert_harm(
            db,
            "nutrition_raw",
            "food_name, meal_type, eaten_at, source, energy_kcal",
            "'soup', 'lunch', '2024-05-01 12:00Z', 'app', 300",
        )
        .await
        + insert_harm(
            db,
            "lab_raw",
            "test_name, value_text, unit, status, collected_at, source",
            "'ferritin', '30', 'ug/L', 'final', '2024-05-01 08:00Z', 'lab'",
        )
        .await
        + insert_harm(db, "user_profiles", "time_zone", "'UTC'").await;
    assert_eq!(columns, 6 + 4 + 10 + 1, "a column of text that is not tried, or that is not there");
    let profile = "INSERT INTO user_profiles VALUES (1, 'UTC', ARRAY[$1]) ";
    db.client.execute(profile, &[&HARM]).await.unwrap();
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'heart_rate', 60, 'bpm', source_priority[1], at, at
         FROM user_profiles, (VALUES (timestamptz '2024-05-01 10:00Z')) AS t (at)
         WHERE user_id = 1",
    )
    .await;

    for (arguments, code) in [
        (&["run-once"][..], 0),
        (&["requeue", "--from", "2024-04-30", "--to", "2024-05-02"], 0),
        (&["run-once"], 0),
        (&["backfill", "--from", "2024-05-01", "--to", "2024-05-01"], 0),
        (&["verify", "--repair"], 0),
        (&["status"], 0),
        (&["doctor"], 0),
    ] {
        let ran = ran(owner(), arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.stderr);
        assert!(
            !format!("{ran:?}").contains("DROP TABLE"),
            "{arguments:?} repeats a text: {ran:?}"
        );
    }

    assert_eq!(schema(db).await, before);
    // It came through whole: as a source of vitals and as an analyte.
    let kept = "SELECT count(*) FROM vitals_daily WHERE sources ? $1";
    assert_eq!(db.query(kept, &[&HARM]).await[0].get::<_, i64>(0), 2);
    let named = "SELECT count(*) FROM lab_daily WHERE analyte LIKE '%drop table%'";
    assert!(db.value::<i64>(named).await > 0);
}

#[tokio::test]
async fn sql_in_an_argument_or_a_setting_is_refused() {
    let roles = Roles::new().await;
    let before = schema(&roles.db).await;
    for arguments in [
        ["run-once", "--kind", HARM],
        ["run-once", "--max-batches", HARM],
        ["run-once", "--time-budget", HARM],
        ["requeue", "--user", HARM],
        ["requeue", "--kind", HARM],
        ["verify", "--user", HARM],
        ["verify", "--from", HARM],
        ["status", "--watch", HARM],
    ] {
        assert_eq!(ran(roles.worker(), &arguments).code, 2, "{arguments:?}");
    }
    for setting in [
        "WORKER__AGGREGATION__DEFAULT_TIME_ZONE",
        "WORKER__AGGREGATION__CATALOGUE",
        "WORKER__BATCH__SIZE",
        "WORKER__DATABASE__POOLER",
        "WORKER__DATABASE__SCHEMA",
        "WORKER__SESSION__STATEMENT_TIMEOUT_SECONDS",
        "WORKER__SESSION__APPLICATION_NAME",
        "WORKER__SESSION__JIT",
        "WORKER__SESSION__SEARCH_PATH",
    ] {
        let mut worker = roles.worker();
        worker.env(setting, HARM);
        let refused = ran(worker, &["run-once"]);
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{setting}: {refused:?}");
    }
    assert_eq!(schema(&roles.db).await, before);
}

#[tokio::test]
async fn sql_in_the_name_of_the_session_is_a_name() {
    let roles = Roles::new().await;
    let before = schema(&roles.db).await;
    for name in ["x'; DROP TABLE vitals_raw; --", "x\"; DROP TABLE vitals_raw; --", "x -c jit=on"] {
        for pooler in ["none", "session"] {
            let mut worker = crate::support::worker_at(&roles.url(&roles.owner));
            worker.env("WORKER__SESSION__APPLICATION_NAME", name);
            worker.env("WORKER__DATABASE__POOLER", pooler);
            let ran = ran(worker, &["run-once"]);
            assert_eq!(ran.code, 0, "{name}, {pooler}: {}", ran.stderr);
        }
    }
    assert_eq!(schema(&roles.db).await, before);
}

#[tokio::test]
async fn sql_in_a_search_path_is_a_name() {
    let roles = Roles::new().await;
    let before = schema(&roles.db).await;
    // The owner's, in whose sessions it would be done.
    let schema_name = r#"a"; DROP TABLE vitals_raw; --"#;
    let quoted = schema_name.replace('"', "\"\"");
    roles
        .db
        .execute(&format!("CREATE SCHEMA \"{quoted}\" AUTHORIZATION \"{}\"", roles.owner))
        .await;
    roles
        .db
        .execute(&format!(
            "ALTER ROLE \"{owner}\" IN DATABASE {name} SET search_path = \"{quoted}\"",
            owner = roles.owner,
            name = roles.db.name
        ))
        .await;
    let owner = || crate::support::worker_at(&roles.url(&roles.owner));
    for arguments in [&["migrate"][..], &["run-once"], &["verify"], &["doctor"], &["status"]] {
        let ran = ran(owner(), arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
    }
    let made = "SELECT count(*) FROM pg_tables WHERE schemaname = $1 AND tablename = 'vitals_raw'";
    assert_eq!(roles.db.query(made, &[&schema_name]).await[0].get::<_, i64>(0), 1);
    assert_eq!(schema(&roles.db).await, before);
}

#[tokio::test]
async fn sql_in_a_file_that_is_imported_is_text() {
    let roles = Roles::new().await;
    let before = schema(&roles.db).await;
    let field = HARM.replace('"', "\"\"");
    let scratch = Scratch::new();
    let vitals = scratch.file(
        "vitals.csv",
        format!("user_id,metric,value,started_at,unit,source\n1,\"{field}\",60,2024-05-01T10:00:00Z,\"{field}\",\"{field}\"\n"),
    );
    let header = scratch.file("header.csv", format!("user_id,\"{field}\"\n1,1\n"));
    let profiles = scratch.file(
        "profiles.csv",
        format!("user_id,time_zone,source_priority\n1,UTC,\"{}\"\n", field.replace(';', ",")),
    );
    let import = |kind: &str, file: &std::path::Path| {
        let mut worker = crate::support::worker_at(&roles.url(&roles.owner));
        worker.args(["import", "--kind", kind]).arg(file);
        Ran::of(worker.output().unwrap())
    };
    let loaded = import("vitals", &vitals);
    assert_eq!(loaded.code, 0, "{loaded:?}");
    assert_eq!(import("profiles", &profiles).code, 0);
    assert_eq!(import("vitals", &header).code, 1);

    let kept = "SELECT count(*) FROM vitals_raw WHERE metric = $1 AND unit = $1 AND source = $1";
    assert_eq!(roles.db.query(kept, &[&HARM]).await[0].get::<_, i64>(0), 1);
    assert_eq!(schema(&roles.db).await, before);
}
