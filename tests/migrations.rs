//! The schema: made, taken back, and of a shape that other things rely on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tokio_postgres::Client;

use crate::support::outside::{assert_says, refused};
use crate::support::rows::heart_rate;
use crate::support::{Database, Ran, connect, worker_at};

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every migration's name, SQL up and SQL down, in order.
fn migrations() -> Vec<(String, String, String)> {
    let folders = fs::read_dir(root().join("migrations")).unwrap().flatten();
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.path()).collect();
    folders.sort();
    let read = |folder: &Path, file: &str| fs::read_to_string(folder.join(file)).unwrap();
    folders
        .iter()
        .map(|folder| {
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            (name, read(folder, "up.sql"), read(folder, "down.sql"))
        })
        .collect()
}

/// Everything in the current schema but diesel's own table, a line each, as the server's
/// catalogue has it: columns, constraints, indexes, domains, triggers, functions, views, sequences,
/// rights and comments. Columns are counted without those that were dropped, whose numbers the
/// server never gives again.
async fn dump(client: &Client) -> Vec<String> {
    let sql = "
        WITH ours AS (
            SELECT c.* FROM pg_class AS c
            WHERE c.relnamespace = current_schema()::regnamespace
              AND c.relname NOT LIKE '\\_\\_diesel%'
        )
        SELECT format('%s %s, %s, %s, %s', relkind, relname, reloptions, relacl, obj_description(oid, 'pg_class'))
        FROM ours
        UNION ALL
        SELECT format('%s.%s %s %s %s %s default %s, %s', o.relname,
                      row_number() OVER (PARTITION BY o.oid ORDER BY a.attnum), a.attname,
                      format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
                      pg_get_expr(d.adbin, d.adrelid), col_description(o.oid, a.attnum))
        FROM ours AS o
        JOIN pg_attribute AS a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef AS d ON d.adrelid = o.oid AND d.adnum = a.attnum
        UNION ALL
        SELECT format('%s %s %s', o.relname, k.conname, pg_get_constraintdef(k.oid))
        FROM ours AS o JOIN pg_constraint AS k ON k.conrelid = o.oid
        UNION ALL
        SELECT pg_get_indexdef(oid) FROM ours WHERE relkind = 'i'
        UNION ALL
        SELECT format('%s %s %s', typname, format_type(typbasetype, typtypmod), obj_description(oid, 'pg_type'))
        FROM pg_type WHERE typnamespace = current_schema()::regnamespace AND typtype = 'd'
        UNION ALL
        SELECT pg_get_viewdef(oid) FROM ours WHERE relkind = 'v'
        UNION ALL
        SELECT pg_get_triggerdef(t.oid) FROM ours AS o JOIN pg_trigger AS t ON t.tgrelid = o.oid
        UNION ALL
        SELECT format('%s %s %s', s.sequencename, s.data_type, s.increment_by)
        FROM pg_sequences AS s WHERE s.schemaname = current_schema()
        UNION ALL
        -- Rights as they hold, whether somebody gave them or nobody took them away.
        SELECT format('%s %s', pg_get_functiondef(p.oid),
                      (SELECT string_agg(acl::text, ', ' ORDER BY acl::text)
                       FROM unnest(coalesce(p.proacl, acldefault('f', p.proowner))) AS acl))
        FROM pg_proc AS p WHERE p.pronamespace = current_schema()::regnamespace
        ORDER BY 1";
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// The URL of a database in which this is the search path.
fn with_search_path(db: &Database, search_path: &str) -> String {
    let escaped: String = search_path
        .chars()
        .map(|c| match c {
            ',' => "%2C".to_owned(),
            ' ' => "%20".to_owned(),
            other => other.to_string(),
        })
        .collect();
    format!("{}&options=-c%20search_path%3D{escaped}", db.url)
}

#[tokio::test]
async fn migrate_makes_the_schema_and_then_says_that_it_is_up_to_date() {
    let db = Database::empty().await;
    let names: Vec<String> = migrations().into_iter().map(|(name, _, _)| name).collect();

    let first = db.run(&["migrate"]);
    assert_eq!((first.code, first.stderr.as_str()), (0, ""));
    let applied: Vec<String> = names.iter().map(|name| format!("applied {name}")).collect();
    assert_eq!(first.stdout.lines().collect::<Vec<_>>(), applied);

    let again = db.run(&["migrate"]);
    assert_eq!((again.code, again.stdout.as_str()), (0, "The schema is up to date.\n"));
    let json = db.run(&["migrate", "--json"]);
    assert_eq!((json.code, json.stdout.as_str()), (0, "{\"applied\":[],\"functions\":[]}\n"));
    assert_eq!(db.run(&["run-once"]).code, 0);
}

#[tokio::test]
async fn six_who_migrate_at_once_all_succeed_and_one_does_it() {
    let db = Database::empty().await;
    let children: Vec<_> = (0..6).map(|_| db.start(&["migrate", "--json"])).collect();
    let mut appliers = 0;
    for child in children {
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran:?}");
        match ran.json()["applied"].as_array().unwrap().len() {
            0 => {}
            all => {
                assert_eq!(all, migrations().len());
                appliers += 1;
            }
        }
    }
    assert_eq!(appliers, 1);
}

#[tokio::test]
async fn an_interrupted_migration_is_completed_by_the_next_run() {
    let db = Database::empty().await;
    let all = migrations();
    assert_eq!(db.run(&["migrate"]).code, 0);
    let complete = dump(&db.client).await;
    let (name, _, down) = all.last().unwrap();
    let version = name.split('_').next().unwrap().replace('-', "");
    db.execute(down).await;
    db.execute(&format!("DELETE FROM __diesel_schema_migrations WHERE version = '{version}'"))
        .await;

    assert_eq!(db.run(&["migrate"]).stdout, format!("applied {name}\n"));

    assert_eq!(dump(&db.client).await, complete);
}

#[tokio::test]
async fn every_migration_can_be_taken_back_and_made_again() {
    let by_sql = Database::empty().await;
    let empty = dump(&by_sql.client).await;
    assert_eq!(empty, Vec::<String>::new());
    for (name, up, down) in migrations() {
        let before = dump(&by_sql.client).await;
        by_sql.execute(&up).await;
        let after = dump(&by_sql.client).await;
        assert_ne!(before, after, "{name} does nothing");
        by_sql.execute(&down).await;
        assert_eq!(dump(&by_sql.client).await, before, "{name} down");
        by_sql.execute(&up).await;
        assert_eq!(dump(&by_sql.client).await, after, "{name} up again");
    }
    let made_by_sql = dump(&by_sql.client).await;

    let db = Database::new().await;
    assert_eq!(dump(&db.client).await, made_by_sql);
    for (_, _, down) in migrations().iter().rev() {
        db.execute(down).await;
    }
    assert_eq!(dump(&db.client).await, empty);
}

#[tokio::test]
async fn a_migration_takes_back_its_schema_although_there_are_rows() {
    let db = Database::new().await;
    db.insert([heart_rate(60).at("2024-05-01 10:00Z")]).await;
    db.run_once();
    for (_, _, down) in migrations().iter().rev() {
        db.execute(down).await;
    }
    assert_eq!(dump(&db.client).await, Vec::<String>::new());
}

/// Rows of each kind and state in a queue that has a row for each raw row; of user 1 more than a set holds.
const QUEUED_BY_ROW: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at, time_zone)
    SELECT u, metric, 60, 'count', 'watch', at, at + interval '5 min', zone
    FROM generate_series(1, 60) AS n, generate_series(1, 4) AS u, (VALUES ('steps'), ('heart_rate')) AS m (metric),
         (VALUES (NULL), ('Asia/Tokyo')) AS z (zone),
         LATERAL (SELECT timestamptz '2024-05-01 10:00Z' + n * interval '1 hour' AS at) AS t;
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at, is_daily_total)
    VALUES (1, 'steps', 60, 'count', 'watch', '2024-05-01', '2024-05-02', true);
    INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source)
    SELECT u, '', 'lunch', '2024-05-01 12:00Z', '' FROM generate_series(1, 4) AS u;
    INSERT INTO lab_raw (user_id, test_name, value_text, status, collected_at, source)
    SELECT u, '', '', 'final', '-infinity', '' FROM generate_series(1, 4) AS u;
    DELETE FROM vitals_raw WHERE user_id = 1 AND started_at = '2024-05-01 11:00Z';
    UPDATE aggregation_queue SET state = 'processing', lease_token = 7, lease_expires_at = now() + interval '1 min',
                                 lost_leases = 1
    WHERE user_id = 2;
    UPDATE aggregation_queue SET state = 'dead', attempts = 5, not_before = 'infinity', last_error = 'refused 23514'
    WHERE user_id = 3;
    UPDATE aggregation_queue SET attempts = 2, not_before = now() + interval '1 hour', last_error = 'timeout'
    WHERE user_id = 4";

#[tokio::test]
async fn what_was_queued_before_change_sets_is_carried_over_and_back() {
    let db = Database::empty().await;
    let all = migrations();
    let (change_sets, before) = (
        all.iter().find(|(name, ..)| name.ends_with("_change_sets")).unwrap(),
        all.iter().take_while(|(name, ..)| !name.ends_with("_change_sets")),
    );
    for (_, up, _) in before {
        db.execute(up).await;
    }
    db.execute(QUEUED_BY_ROW).await;
    // Who held a row by a lease loses it; nothing else changes.
    let by_row = "SELECT concat_ws(' ', kind, user_id, raw_id, metric, time_zone, whole_day, starts_at, ends_at,
                                   CASE state WHEN 'dead' THEN 'dead' ELSE 'pending' END, attempts, lost_leases,
                                   not_before, queued_at, last_error)
                  FROM aggregation_queue ORDER BY 1";
    let queued = names(&db, by_row).await;
    assert_eq!(queued.len(), 973);

    db.execute(&change_sets.1).await;

    let by_set = "SELECT concat_ws(' ', kind, user_id, r.raw_id, metric, time_zone, whole_day,
                                   coalesce(r.starts_at, s.starts_at),
                                   CASE WHEN r.starts_at IS NULL THEN s.ends_at
                                        ELSE coalesce(r.ends_at, r.starts_at) END,
                                   state, attempts, lost_leases, not_before, queued_at, last_error)
                  FROM aggregation_queue AS s,
                       unnest(raw_ids, row_starts, row_ends) AS r (raw_id, starts_at, ends_at)
                  WHERE lease_token IS NULL AND lease_expires_at IS NULL
                  ORDER BY 1";
    assert_eq!(names(&db, by_set).await, queued);
    let sets: i64 = db.value("SELECT count(*) FROM aggregation_queue").await;
    // Of each user two sets for each metric and zone, the daily total, meals and results.
    assert_eq!(sets, 4 * 2 * 4 + 1 + 4 + 4);

    db.execute(&change_sets.2).await;
    assert_eq!(names(&db, by_row).await, queued);
    let leased = "SELECT count(*) FROM aggregation_queue
                  WHERE lease_token IS NOT NULL OR lease_expires_at IS NOT NULL OR state = 'processing'";
    assert_eq!(db.value::<i64>(leased).await, 0);
}

#[tokio::test]
async fn every_key_of_a_table_with_users_begins_with_the_user() {
    let db = Database::new().await;
    // The feed of changed days has an order of its own, over all users.
    let keys = db
        .query(
            "SELECT i.indexrelid::regclass::text, first.attname::text
             FROM pg_index AS i
             JOIN pg_attribute AS users ON users.attrelid = i.indrelid AND users.attname = 'user_id'
             JOIN pg_attribute AS first ON first.attrelid = i.indrelid AND first.attnum = i.indkey[0]
             JOIN pg_class AS c ON c.oid = i.indrelid
             WHERE c.relnamespace = current_schema()::regnamespace AND i.indisunique
               AND c.relname <> 'figure_changes'",
            &[],
        )
        .await;
    assert!(keys.len() >= 8, "{} keys", keys.len());
    for key in keys {
        assert_eq!(key.get::<_, String>(1), "user_id", "{}", key.get::<_, String>(0));
    }
    let without_key: Vec<String> = names(
        &db,
        "SELECT c.relname::text FROM pg_class AS c
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
           AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary)",
    )
    .await;
    assert_eq!(without_key, Vec::<String>::new());
}

async fn names(db: &Database, sql: &str) -> Vec<String> {
    db.query(sql, &[]).await.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn every_table_view_and_sequence_of_ours_says_what_it_is() {
    let db = Database::new().await;
    let silent = names(
        &db,
        "SELECT c.relname::text FROM pg_class AS c
         WHERE c.relnamespace = current_schema()::regnamespace
           AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND c.relname NOT LIKE '\\_\\_diesel%'
           AND obj_description(c.oid, 'pg_class') IS NULL
           AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'i')",
    )
    .await;
    assert_eq!(silent, Vec::<String>::new());
}

#[tokio::test]
async fn trigger_functions_have_their_owners_rights_and_a_search_path_that_ends_in_pg_temp() {
    let db = Database::new().await;
    let functions = db
        .query(
            "SELECT proname::text, prosecdef, coalesce(array_to_string(proconfig, ';'), '')
             FROM pg_proc
             WHERE pronamespace = current_schema()::regnamespace AND prorettype = 'trigger'::regtype
               AND proname LIKE 'queue\\_%'",
            &[],
        )
        .await;
    assert_eq!(functions.len(), 12);
    for function in functions {
        let (name, config) = (function.get::<_, String>(0), function.get::<_, String>(2));
        assert!(function.get::<_, bool>(1), "{name} lacks SECURITY DEFINER");
        // Not named, pg_temp would be searched first, and an app could put its own table before ours.
        assert!(
            config.starts_with("search_path=") && config.ends_with("pg_temp"),
            "{name}: {config}"
        );
    }
}

/// Names of tables, views, sequences and functions of ours.
async fn our_names(db: &Database) -> BTreeSet<String> {
    let sql = "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace
               UNION SELECT proname::text FROM pg_proc WHERE pronamespace = current_schema()::regnamespace";
    names(db, sql).await.into_iter().collect()
}

#[tokio::test]
async fn no_sql_names_a_schema() {
    let db = Database::new().await;
    let ours = our_names(&db).await;
    let mut files = vec![root().join("migrations"), root().join("crates/store/src")];
    let mut read = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path()));
            continue;
        }
        read += 1;
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("public."), "{}: public.", path.display());
        let statements = text.split(|c: char| c.is_whitespace() || "(),;".contains(c));
        for word in statements {
            let word = word.replace('"', "");
            if let Some((schema, name)) = word.split_once('.') {
                // A session's own tables have their schema's name, to be told from ours.
                let qualified = !["", "pg_temp"].contains(&schema) && ours.contains(name);
                assert!(!qualified, "{}: {word}", path.display());
            }
        }
    }
    assert!(read > 15, "only {read} files found");
}

#[tokio::test]
async fn a_search_path_without_a_schema_gives_one_clear_line() {
    let db = Database::empty().await;
    let nowhere = with_search_path(&db, "nowhere");
    let why = refused(worker_at(&nowhere).arg("migrate"));
    assert_says(&why, &["no schema of the search_path exists", "CREATE SCHEMA"]);
    assert!(!why.contains("rolled back"), "{why}");
    assert_says(
        &refused(worker_at(&nowhere).arg("status")),
        &["no schema of the search_path exists"],
    );
}

#[tokio::test]
async fn a_role_that_may_not_create_tables_gets_one_clear_line() {
    let db = Database::empty().await;
    let role = format!("reader_{}", db.name);
    db.execute(&format!("REVOKE CREATE ON SCHEMA public FROM public; CREATE ROLE {role} LOGIN"))
        .await;
    let url = db.url.replace("postgres@", &format!("{role}@"));
    assert_says(&refused(worker_at(&url).arg("migrate")), &["permission denied for schema public"]);
    db.execute(&format!("DROP ROLE {role}")).await;
}

#[tokio::test]
async fn two_schemas_of_one_database_live_side_by_side() {
    let db = Database::empty().await;
    db.execute("CREATE SCHEMA east; CREATE SCHEMA west").await;
    let (east, west) = (with_search_path(&db, "east"), with_search_path(&db, "west,public"));
    for url in [&east, &west] {
        assert_eq!(Ran::of(worker_at(url).arg("migrate").output().unwrap()).code, 0);
    }
    let ours_in_public = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'";
    assert_eq!(db.value::<i64>(ours_in_public).await, 0);
    // From a session with another search path: the triggers find their own schema.
    for (schema, value) in [("east", 60), ("west", 80)] {
        db.execute(&format!(
            "INSERT INTO {schema}.vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             VALUES (1, 'heart_rate', {value}, 'bpm', 'watch', '2024-05-01 10:00Z', '2024-05-01 10:00Z')"
        ))
        .await;
    }
    let run = Ran::of(worker_at(&east).args(["run-once", "--json"]).output().unwrap());
    assert_eq!(run.json()["rows_completed"], 1);

    let mean = |schema: &str| format!("SELECT max(mean) FROM {schema}.vitals_daily");
    assert_eq!(db.value::<Option<f64>>(&mean("east")).await, Some(60.0));
    assert_eq!(db.value::<Option<f64>>(&mean("west")).await, None);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM west.aggregation_queue").await, 1);

    let client = connect(&west).await;
    client.batch_execute("TRUNCATE aggregation_queue").await.unwrap();
    let run = Ran::of(worker_at(&west).args(["run-once", "--json"]).output().unwrap());
    assert_eq!(run.json()["rows_claimed"], 0);
}
