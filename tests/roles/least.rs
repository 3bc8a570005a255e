//! The roles can do their work and nothing else.

use super::work::all_of_it;
use super::{DENIED, Roles, refusal};
use crate::support::running::{Running, eventually};
use crate::support::{Ran, connect};

const FACTS: [&str; 4] = ["user_profiles", "vitals_raw", "nutrition_raw", "lab_raw"];

#[tokio::test]
async fn the_workers_role_is_enough_for_every_command_and_for_the_service() {
    let roles = Roles::new().await;

    let doctor = Ran::of(roles.worker().args(["doctor", "--json"]).output().unwrap());
    assert_eq!(doctor.code, 0, "{}", doctor.stdout);
    for check in doctor.json()["checks"].as_array().unwrap() {
        // It may not write facts, and so cannot try whether they reach the queue.
        let expected = if check["name"] == "queueing" { "untried" } else { "ok" };
        assert_eq!(check["outcome"], expected, "{check:#}");
    }
    assert_eq!(all_of_it(&roles).await, Ok(()));

    let service = Running::service(roles.worker(), &[]);
    let insert = "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
                  VALUES (7, 'heart_rate', 60, 'bpm', 'watch', '2024-05-01 10:00Z', '2024-05-01 10:00Z')";
    roles.app().await.batch_execute(insert).await.unwrap();
    let computed = "SELECT count(*) FROM vitals_daily WHERE user_id = 7";
    eventually(&roles.db, computed, 1).await;
    let ran = service.stops();
    assert!(ran.events("database_unavailable").is_empty(), "{}", ran.stderr);
}

#[tokio::test]
async fn the_worker_can_change_no_fact_and_no_table() {
    let roles = Roles::new().await;
    let worker = connect(&roles.url(&roles.worker)).await;
    for table in FACTS {
        for statement in [
            format!("INSERT INTO {table} (user_id) VALUES (1)"),
            format!("UPDATE {table} SET user_id = 2"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
            format!("DROP TABLE {table}"),
            format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
            format!("CREATE INDEX ON {table} (user_id)"),
        ] {
            assert_eq!(refusal(&worker, &statement).await, DENIED, "{statement}");
        }
    }
    for statement in [
        "CREATE TABLE mine ()",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "TRUNCATE aggregation_queue",
        "DROP VIEW raw_row_status",
        "INSERT INTO __diesel_schema_migrations VALUES ('1')",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY vitals_raw TO PROGRAM 'cat'",
    ] {
        assert_eq!(refusal(&worker, statement).await, DENIED, "{statement}");
    }
}

#[tokio::test]
async fn the_app_writes_facts_reads_figures_and_has_no_right_on_the_queue() {
    let roles = Roles::new().await;
    assert_eq!(all_of_it(&roles).await, Ok(()));
    let app = roles.app().await;
    for figures in roles.db.figure_tables().await {
        app.batch_execute(&format!("SELECT FROM {figures}")).await.unwrap();
        assert_eq!(refusal(&app, &format!("DELETE FROM {figures}")).await, DENIED);
    }
    let feed = "SELECT FROM figure_changes_since('', 1)";
    assert_eq!(app.query(feed, &[]).await.unwrap().len(), 1, "the app reads the feed by itself");
    assert_eq!(refusal(&app, "DELETE FROM figure_changes").await, DENIED);
    let views = "SELECT viewname::text FROM pg_views WHERE schemaname = current_schema()";
    for view in roles.db.query(views, &[]).await {
        app.batch_execute(&format!("SELECT FROM {}", view.get::<_, String>(0))).await.unwrap();
    }
    for statement in [
        "SELECT FROM aggregation_queue",
        "DELETE FROM aggregation_queue",
        "INSERT INTO aggregation_queue (user_id) VALUES (1)",
        "TRUNCATE vitals_raw",
        "CREATE TABLE mine ()",
    ] {
        assert_eq!(refusal(&app, statement).await, DENIED, "{statement}");
    }
}

#[tokio::test]
async fn nobody_else_can_make_the_owners_trigger_functions_work_for_a_table_of_ones_own() {
    let roles = Roles::new().await;
    // Where functions are everybody's, as they are by default.
    let db = crate::support::Database::new().await;
    let functions = "SELECT count(*) FROM pg_proc
                     WHERE pronamespace = quote_ident(current_schema())::regnamespace AND prosecdef
                       AND has_function_privilege($1, oid, 'EXECUTE')";
    for db in [&roles.db, &db] {
        let row = db.client.query_one(functions, &[&roles.app]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 0);
    }
    let app = roles.app().await;
    roles.db.execute(&format!("CREATE SCHEMA mine AUTHORIZATION \"{}\"", roles.app)).await;
    app.batch_execute("CREATE TABLE mine.own (LIKE vitals_raw)").await.unwrap();
    let attach = "CREATE TRIGGER t AFTER INSERT ON mine.own REFERENCING NEW TABLE AS changed
                  FOR EACH STATEMENT EXECUTE FUNCTION queue_changed_vitals()";
    assert_eq!(refusal(&app, attach).await, DENIED);
}

#[tokio::test]
async fn the_app_finds_the_tables_by_the_search_path_that_the_script_gave_it() {
    let roles = Roles::new().await;
    let app = connect(&roles.url(&roles.app)).await;
    let insert =
        "INSERT INTO lab_raw (user_id, test_name, value_text, status, collected_at, source)
                  VALUES (1, 'ferritin', '30', 'final', '2024-05-01 08:00Z', 'lab')";
    app.batch_execute(insert).await.unwrap();

    let own = format!("ALTER ROLE \"{}\" SET search_path = pg_catalog", roles.app);
    roles.db.execute(&own).await;
    let reset =
        format!("ALTER ROLE \"{}\" IN DATABASE {} RESET search_path", roles.app, roles.db.name);
    roles.db.execute(&reset).await;
    roles.script("postgres", "roles.sql");
    let app = connect(&roles.url(&roles.app)).await;
    assert_eq!(refusal(&app, insert).await, "42P01", "a search_path of its own stays");
}

#[tokio::test]
async fn nobody_else_may_create_in_a_schema_that_was_open_to_everybody() {
    let roles = Roles::new().await;
    let open = format!("GRANT CREATE ON SCHEMA \"{}\" TO PUBLIC", super::SCHEMA);
    roles.db.execute(&open).await;
    let doctor = Ran::of(roles.worker().args(["doctor", "--json"]).output().unwrap()).json();
    let checks = doctor["checks"].as_array().unwrap();
    let schema = checks.iter().find(|check| check["name"] == "schema").unwrap();
    assert_eq!(schema["outcome"], "error", "{schema:#}");
    assert!(schema["advice"].as_str().unwrap().contains("REVOKE CREATE"), "{schema:#}");

    roles.script("postgres", "roles.sql");

    let app = connect(&roles.url(&roles.app)).await;
    let function = format!(
        "CREATE FUNCTION \"{}\".now() RETURNS timestamptz LANGUAGE sql RETURN NULL",
        super::SCHEMA
    );
    assert_eq!(refusal(&app, &function).await, DENIED);
}

#[tokio::test]
async fn no_role_has_more_than_a_login() {
    let roles = Roles::new().await;
    for role in [&roles.owner, &roles.worker, &roles.app] {
        let more = "SELECT count(*) FROM pg_roles AS r
                    WHERE rolname = $1
                      AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
                           OR EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid))";
        let row = roles.db.client.query_one(more, &[role]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 0, "{role}");
    }
}
