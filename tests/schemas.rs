//! Where the tables are: in a schema that was renamed, beside other tables, or out of the search_path.

use crate::support::doctor::{assert_check, check};
use crate::support::outside::{assert_says, refused};
use crate::support::{Database, Ran, connect, worker_at};

const SAMPLE: &str = "(user_id, metric, value, unit, source, started_at, ended_at)
    VALUES (1, 'heart_rate', 60, 'bpm', 'watch', '2024-05-01 10:00Z', '2024-05-01 10:00Z')";

fn with_search_path(db: &Database, search_path: &str) -> String {
    format!("{}&options=-csearch_path%3D{search_path}", db.url)
}

/// Runs the worker, which must succeed.
fn ran(url: &str, arguments: &[&str]) -> Ran {
    let ran = Ran::of(worker_at(url).args(arguments).output().unwrap());
    assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
    ran
}

async fn queued(db: &Database, schema: &str) -> i64 {
    db.value(&format!(
        "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM {schema}.aggregation_queue"
    ))
    .await
}

#[tokio::test]
async fn rows_of_a_renamed_schema_queue_beside_their_table_and_never_under_the_old_name() {
    let db = Database::empty().await;
    db.execute("CREATE SCHEMA health").await;
    ran(&with_search_path(&db, "health"), &["migrate"]);
    // A session that has its plans.
    let app = db.connect().await;
    let insert = |schema: &str| format!("INSERT INTO {schema}.vitals_raw {SAMPLE}");
    app.batch_execute(&insert("health")).await.unwrap();
    assert_eq!(queued(&db, "health").await, 1);

    db.execute("ALTER SCHEMA health RENAME TO health_v1").await;
    app.batch_execute(&insert("health_v1")).await.unwrap();
    assert_eq!(queued(&db, "health_v1").await, 2);

    db.execute("CREATE SCHEMA health").await;
    ran(&with_search_path(&db, "health"), &["migrate"]);
    for (statement, rows) in [
        (insert("health_v1"), 3),
        ("UPDATE health_v1.vitals_raw SET value = 61".to_owned(), 6),
        ("DELETE FROM health_v1.vitals_raw".to_owned(), 9),
        (insert("health_v1"), 10),
        ("TRUNCATE health_v1.vitals_raw".to_owned(), 11),
    ] {
        app.batch_execute(&statement).await.unwrap();
        let both = (queued(&db, "health_v1").await, queued(&db, "health").await);
        assert_eq!(both, (rows, 0), "{statement}");
    }
    app.batch_execute(&insert("health")).await.unwrap();
    assert_eq!((queued(&db, "health_v1").await, queued(&db, "health").await), (11, 1));

    let renamed = with_search_path(&db, "health_v1");
    let misled =
        ["trigger functions look in health, pg_temp and not in \"health_v1\"", "worker migrate"];
    assert_check(&renamed, "triggers", 0, "warning", &misled);
    assert_check(&renamed, "queueing", 0, "ok", &["rolled back"]);
    let migrated = ran(&renamed, &["migrate", "--json"]).json();
    let functions = migrated["functions"].as_array().unwrap();
    assert_eq!((migrated["applied"].as_array().unwrap().len(), functions.len()), (0, 12));
    assert_check(&renamed, "triggers", 0, "ok", &[]);
    app.batch_execute(&insert("health_v1")).await.unwrap();
    assert_eq!((queued(&db, "health_v1").await, queued(&db, "health").await), (12, 1));
    assert_eq!(ran(&renamed, &["migrate"]).stdout, "The schema is up to date.\n");
}

#[tokio::test]
async fn tables_out_of_the_search_path_are_found_and_no_second_set_is_made_unasked() {
    let db = Database::empty().await;
    db.execute("CREATE SCHEMA dayfold").await;
    ran(&with_search_path(&db, "dayfold"), &["migrate"]);

    let why =
        ["the tables are in schema \"dayfold\"", "ALTER ROLE postgres IN DATABASE", "--beside"];
    for command in ["migrate", "status", "run-once", "verify"] {
        assert_says(&refused(worker_at(&db.url).arg(command)), &why);
    }
    assert_check(&db.url, "schema", 1, "error", &why);
    // Set on purpose, but to what everybody has.
    let public = with_search_path(&db, "public");
    assert_says(&refused(worker_at(&public).arg("migrate")), &why);
    let in_public = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(db.value::<i64>(in_public).await, 0);

    // A schema that the search_path names is asked for.
    db.execute("CREATE SCHEMA tenant").await;
    ran(&with_search_path(&db, "tenant"), &["migrate"]);
    ran(&with_search_path(&db, "tenant"), &["status"]);

    ran(&db.url, &["migrate", "--beside"]);
    ran(&db.url, &["status"]);
}

#[tokio::test]
async fn the_search_path_that_is_advised_is_enough() {
    let db = Database::empty().await;
    db.execute("CREATE SCHEMA \"Day fold\"").await;
    ran(&with_search_path(&db, "%22Day%5C%20fold%22"), &["migrate"]);
    let (_, check) = check(&db.url, "schema");
    let advice = check["advice"].as_str().unwrap();
    db.execute(advice.split(';').next().unwrap()).await;
    ran(&db.url, &["status"]);
}

#[tokio::test]
async fn tables_behind_the_first_schema_of_the_search_path_are_migrated_where_they_are() {
    let db = Database::new().await;
    db.execute("CREATE SCHEMA before").await;
    let folder =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/2026-11-30-000030_change_sets");
    db.execute(&std::fs::read_to_string(format!("{folder}/down.sql")).unwrap()).await;
    db.execute("DELETE FROM __diesel_schema_migrations WHERE version = '20261130000030'").await;

    ran(&with_search_path(&db, "before,public"), &["migrate"]);

    let made = "SELECT (SELECT count(*) FROM pg_proc WHERE pronamespace = 'before'::regnamespace)
                     + (SELECT count(*) FROM pg_class WHERE relnamespace = 'before'::regnamespace)";
    assert_eq!(db.value::<i64>(made).await, 0);
    assert_check(&db.url, "triggers", 0, "ok", &[]);
}

#[tokio::test]
async fn a_table_of_the_apps_with_a_name_of_ours_is_named_with_the_columns_that_differ() {
    let db = Database::empty().await;
    db.execute(
        "CREATE TABLE user_profiles (user_id bigint PRIMARY KEY, email text, time_zone text);
         CREATE TABLE lab_daily ()",
    )
    .await;
    let why = [
        "schema \"public\" has tables of another program",
        "lab_daily (is there already)",
        "user_profiles (lacks source_priority, created_at, has besides email)",
        "CREATE SCHEMA dayfold",
    ];
    assert_says(&refused(worker_at(&db.url).arg("migrate")), &why);
    assert_says(&refused(worker_at(&db.url).arg("status")), &why);
    assert_check(&db.url, "schema", 1, "error", &why);
    let there = "SELECT count(*) FROM pg_class
                 WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'S')";
    assert_eq!(db.value::<i64>(there).await, 2, "nothing half done");

    // The advice.
    db.execute(&format!(
        "CREATE SCHEMA dayfold; ALTER ROLE postgres IN DATABASE {} SET search_path = dayfold",
        db.name
    ))
    .await;
    ran(&db.url, &["migrate"]);
    ran(&db.url, &["status"]);
    let app = connect(&with_search_path(&db, "public,dayfold")).await;
    app.batch_execute("INSERT INTO user_profiles VALUES (1, 'a@example.org', 'UTC')")
        .await
        .unwrap();
    app.batch_execute(&format!("INSERT INTO vitals_raw {SAMPLE}")).await.unwrap();
    assert_eq!(ran(&db.url, &["run-once", "--json"]).json()["rows_completed"], 1);
}

#[tokio::test]
async fn the_list_of_migrations_of_another_program_is_no_newer_schema_of_ours() {
    let db = Database::empty().await;
    db.execute(
        "CREATE TABLE __diesel_schema_migrations (version varchar(50) PRIMARY KEY, run_on timestamp);
         INSERT INTO __diesel_schema_migrations VALUES ('20200101000000', now())",
    )
    .await;
    let why =
        ["__diesel_schema_migrations (lists the migrations of another program)", "CREATE SCHEMA"];
    assert_says(&refused(worker_at(&db.url).arg("migrate")), &why);
    assert_check(&db.url, "schema", 1, "error", &why);
    // Behind a schema of ours it hides nothing.
    db.execute("CREATE SCHEMA dayfold").await;
    ran(&with_search_path(&db, "dayfold,public"), &["migrate"]);
    ran(&with_search_path(&db, "dayfold,public"), &["status"]);
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_half_done_and_names_its_statement() {
    let db = Database::empty().await;
    db.execute(
        "CREATE FUNCTION aggregation_datable(timestamptz) RETURNS timestamptz LANGUAGE sql RETURN now()",
    )
    .await;
    let why = refused(worker_at(&db.url).arg("migrate"));
    let expected = [
        "2026-11-21-000002_aggregation_queue/up.sql, statement ",
        " in line ",
        "(CREATE FUNCTION aggregation_datable(instant timestamptz)",
        "already exists with same argument types",
    ];
    assert_says(&why, &expected);
    let state: String = db
        .value(
            "SELECT concat_ws(' ', (SELECT count(*) FROM __diesel_schema_migrations),
                              to_regclass('vitals_raw'), to_regclass('aggregation_queue'),
                              to_regclass('rejected_rows'))",
        )
        .await;
    assert_eq!(state, "1 vitals_raw");

    db.execute("DROP FUNCTION aggregation_datable").await;
    ran(&db.url, &["migrate"]);
}

/// A database of its own with another encoding than the server's.
async fn encoded(encoding: &str) -> Database {
    let db = Database::empty().await;
    let name = format!("{}_encoded", db.name);
    db.execute(&format!(
        "CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    ))
    .await;
    let url = db.url.replace(&db.name, &name);
    Database { client: connect(&url).await, name, url, id_type: Default::default() }
}

#[tokio::test]
async fn a_database_of_a_cyrillic_encoding_is_migrated_and_worked_with() {
    let db = encoded("ISO_8859_5").await;
    ran(&db.url, &["migrate"]);
    db.execute(&format!("INSERT INTO vitals_raw {SAMPLE}")).await;
    assert_eq!(db.run_once()["rows_completed"], 1);
    assert_check(&db.url, "encoding", 0, "ok", &["ISO_8859_5"]);
}

#[tokio::test]
async fn a_database_that_takes_any_bytes_for_text_is_warned_of() {
    let db = encoded("SQL_ASCII").await;
    ran(&db.url, &["migrate"]);
    assert_check(&db.url, "encoding", 0, "warning", &["SQL_ASCII", "ENCODING 'UTF8'"]);
}

#[test]
fn migrations_are_ascii_and_have_no_function_that_the_splitter_does_not_know() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let mut read = 0;
    for migration in std::fs::read_dir(folder).unwrap() {
        for file in ["up.sql", "down.sql"] {
            let path = migration.as_ref().unwrap().path().join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.is_ascii(), "{}", path.display());
            assert!(!text.to_ascii_uppercase().contains("BEGIN ATOMIC"), "{}", path.display());
            read += 1;
        }
    }
    assert!(read >= 32, "{read}");
}
