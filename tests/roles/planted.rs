//! Functions, operators, tables and types that an app makes where others look for theirs.
//!
//! A function or an operator with better types than the server's is used in its place, wherever in
//! the search_path it is. A role that may create one in a schema of another role's search_path
//! could make the other role do anything.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Roles, SCHEMA};
use crate::support::outside::{assert_says, refused};
use crate::support::{Ran, connect, worker_at};

/// Between these, and as the single argument, each operator and function is planted.
const TYPES: [&str; 20] = [
    "text",
    "varchar",
    "name",
    "\"char\"",
    "bigint",
    "integer",
    "smallint",
    "double precision",
    "numeric",
    "boolean",
    "timestamptz",
    "timestamp",
    "date",
    "interval",
    "oid",
    "regclass",
    "jsonb",
    "text[]",
    "bigint[]",
    "name[]",
];

/// The message that it raises when it is used.
const PLANTED: &str = "a planted object was used";

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|of| of == "rs" || of == "sql") {
            found.push(path);
        }
    }
}

/// Every word, and every run of the characters of operators, of the program and the migrations.
fn words() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for folder in ["crates/store/src", "migrations"] {
        files(&root.join(folder), &mut found);
    }
    let mut words = BTreeSet::new();
    for file in found {
        let text = fs::read_to_string(file).unwrap();
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_operator = |c: char| "+-*/<>=~!@#%^&|`?".contains(c);
        words.extend(text.split(|c| !is_word(c)).map(str::to_owned));
        words.extend(text.split(|c| !is_operator(c)).map(str::to_owned));
    }
    words.remove("");
    words
}

/// Makes, in the schema `planted`, everything of the names that the program uses.
const PLANT: &str = r#"
CREATE FUNCTION pg_temp.plant(name text, arguments text[], result text) RETURNS void LANGUAGE plpgsql AS $plant$
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION planted.%I(%s) RETURNS %s LANGUAGE plpgsql AS
         $body$ BEGIN RAISE EXCEPTION ''a planted object was used: function %s''; END $body$',
        name, array_to_string(arguments, ', '), result, replace(name, '''', ''''''));
EXCEPTION WHEN OTHERS THEN
    -- Two variants may be one.
    NULL;
END $plant$;

-- Functions: the server's own signatures, and those that are better for some arguments.
DO $$
DECLARE
    f record;
    other text[];
BEGIN
    FOR f IN
        SELECT DISTINCT p.proname::text AS name,
               ARRAY(SELECT a.type::regtype::text FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, n)
                     ORDER BY n) AS arguments,
               CASE WHEN t.typtype = 'p' THEN 'text' ELSE t.oid::regtype::text END AS result,
               p.provariadic <> 0 AS is_variadic
        FROM pg_proc AS p JOIN pg_type AS t ON t.oid = p.prorettype
        JOIN words ON words.word = p.proname::text
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.pronargs <= 4
    LOOP
        PERFORM pg_temp.plant(f.name, f.arguments, f.result);
        FOR other IN
            SELECT ARRAY(SELECT CASE WHEN a.type IN ('"any"', 'anyelement', 'anynonarray', 'anycompatible')
                                     THEN replacement.scalar
                                     WHEN a.type IN ('anyarray', 'anycompatiblearray') THEN replacement.scalar || '[]'
                                     WHEN a.type = replacement.former THEN replacement.scalar
                                     ELSE a.type END
                         FROM unnest(f.arguments) WITH ORDINALITY AS a (type, n) ORDER BY n)
            FROM (VALUES ('text', 'varchar'), ('text', 'name'), ('bigint', 'integer'), ('integer', 'bigint'),
                         ('integer', 'smallint'), ('double precision', 'numeric'), ('double precision', 'integer'),
                         ('numeric', 'bigint'), ('oid', 'regclass'), ('', 'text'), ('', 'boolean'),
                         ('', 'timestamptz'), ('', 'date'), ('', 'double precision'))
                 AS replacement (former, scalar)
        LOOP
            PERFORM pg_temp.plant(f.name, other, f.result);
        END LOOP;
    END LOOP;
END $$;

-- Operators: each name between all pairs of types.
DO $$
DECLARE
    o record;
    l text;
    r text;
BEGIN
    FOREACH l IN ARRAY (SELECT array_agg(type) FROM types) LOOP
        FOREACH r IN ARRAY (SELECT array_agg(type) FROM types) LOOP
            EXECUTE format(
                'CREATE FUNCTION planted.operator(%s, %s) RETURNS boolean LANGUAGE plpgsql AS
                 $body$ BEGIN RAISE EXCEPTION ''a planted object was used: operator between %s and %s''; END $body$',
                l, r, l, r);
            FOR o IN SELECT DISTINCT oprname::text AS name FROM pg_operator JOIN words ON word = oprname::text
                     WHERE oprkind = 'b'
            LOOP
                EXECUTE format('CREATE OPERATOR planted.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = planted.operator)',
                               o.name, l, r);
            END LOOP;
        END LOOP;
    END LOOP;
END $$;

-- Tables, views and types: of the server's names, and of ours.
DO $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT relname::text AS name FROM pg_class JOIN words ON word = relname::text
             WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v')
    LOOP
        EXECUTE format('CREATE TABLE planted.%I (planted boolean)', r.name);
    END LOOP;
    FOR r IN SELECT typname::text AS name FROM pg_type JOIN words ON word = typname::text
             WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype = 'b'
               AND NOT EXISTS (SELECT FROM pg_class WHERE relname = typname)
    LOOP
        EXECUTE format('CREATE DOMAIN planted.%I AS pg_catalog.bool CHECK (false)', r.name);
    END LOOP;
END $$;
"#;

/// Roles whose worker and owner look in a schema, too, in which the app has planted everything.
async fn planted() -> Roles {
    let roles = Roles::unmigrated().await;
    let db = &roles.db;
    db.execute(&format!("CREATE SCHEMA planted AUTHORIZATION \"{}\"", roles.app)).await;
    db.execute(&format!("GRANT TEMPORARY ON DATABASE {} TO \"{}\"", db.name, roles.app)).await;
    let app = connect(&roles.url(&roles.app)).await;
    app.batch_execute("CREATE TEMP TABLE words (word text); CREATE TEMP TABLE types (type text)")
        .await
        .unwrap();
    let words: Vec<String> = words().into_iter().collect();
    app.execute("INSERT INTO words SELECT unnest($1::text[])", &[&words]).await.unwrap();
    app.execute("INSERT INTO types SELECT unnest($1::text[])", &[&&TYPES[..]]).await.unwrap();
    app.batch_execute(PLANT).await.unwrap();
    for (what, least) in
        [("pg_proc WHERE pronamespace", 1_000), ("pg_operator WHERE oprnamespace", 4_000)]
    {
        let sql = format!("SELECT count(*) FROM {what} = 'planted'::regnamespace");
        assert!(db.value::<i64>(&sql).await > least, "{what}");
    }
    for role in [&roles.owner, &roles.worker] {
        db.execute(&format!(
            "GRANT TEMPORARY ON DATABASE {} TO \"{role}\";
             GRANT USAGE ON SCHEMA planted TO \"{role}\";
             ALTER ROLE \"{role}\" IN DATABASE {} SET search_path = \"{SCHEMA}\", planted",
            db.name, db.name
        ))
        .await;
    }
    roles
}

#[tokio::test]
async fn nothing_that_an_app_plants_in_another_schema_of_the_search_path_is_used() {
    let roles = planted().await;
    roles.migrate();
    let app = roles.app().await;
    app.batch_execute(
        "INSERT INTO user_profiles VALUES (1, 'Europe/Berlin', '{watch}');
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, metric, 100, unit, 'watch', at, at + length
         FROM (VALUES ('heart_rate', 'bpm', interval '0'), ('steps', 'count', '5 min'), ('blood_glucose', 'mg/dL', '0'),
                      ('blood_pressure_systolic', 'mmHg', '0'), ('blood_pressure_diastolic', 'mmHg', '0'),
                      ('sleep_core', '', '2 h')) AS m (metric, unit, length),
              generate_series(timestamptz '2024-05-01 00:00Z', '2024-05-02 00:00Z', '1 h') AS at;
         INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
         VALUES (1, 'soup', 'lunch', '2024-05-01 12:00Z', 'app', 300);
         INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source)
         VALUES (1, 'iron', '5', 'umol/L', 'final', '2024-05-01 12:00Z', 'lab'),
                (1, 'iron', '6', 'umol/L', 'final', '2024-05-02 12:00Z', 'lab');
         UPDATE vitals_raw SET value = 101 WHERE metric = 'heart_rate';
         DELETE FROM lab_raw WHERE value_text = '5'",
    )
    .await
    .unwrap();
    for (role, arguments) in [
        (&roles.worker, &["run-once", "--json"][..]),
        (&roles.worker, &["requeue", "--user", "1"]),
        (&roles.worker, &["run-once", "--json"]),
        (&roles.worker, &["backfill", "--from", "2024-05-01", "--to", "2024-05-03"]),
        (&roles.worker, &["verify", "--json"]),
        (&roles.worker, &["verify", "--repair"]),
        (&roles.worker, &["status", "--json"]),
        (&roles.worker, &["doctor"]),
        (
            &roles.worker,
            &["report", "--user", "1", "--from", "2024-05-01", "--to", "2024-05-03", "--html", "-"],
        ),
        (&roles.owner, &["migrate"]),
        (&roles.owner, &["doctor"]),
    ] {
        let ran = Ran::of(worker_at(&roles.url(role)).args(arguments).output().unwrap());
        assert_eq!(ran.code, 0, "{arguments:?} as {role}: {ran:?}");
        assert!(!format!("{ran:?}").contains(PLANTED), "{arguments:?} as {role}: {ran:?}");
    }
    roles.db.execute(&format!("SET search_path = \"{SCHEMA}\"")).await;
    let means = "SELECT count(*) FROM vitals_daily WHERE metric = 'heart_rate' AND mean = 101";
    assert_eq!(roles.db.value::<i64>(means).await, 2);
    // As it would have been.
    let worker = connect(&roles.url(&roles.worker)).await;
    let used = worker.query("SELECT version = 'x'::varchar FROM __diesel_schema_migrations", &[]);
    let used = used.await.expect_err("the planted operator is better than the server's");
    assert!(used.as_db_error().is_some_and(|error| error.message().contains(PLANTED)), "{used:?}");
}

#[tokio::test]
async fn a_schema_in_which_another_role_may_create_is_not_migrated() {
    for creator in ["PUBLIC", "app"] {
        let roles = Roles::unmigrated().await;
        let role = if creator == "app" { format!("\"{}\"", roles.app) } else { creator.to_owned() };
        let grant = format!("GRANT CREATE ON SCHEMA \"{SCHEMA}\" TO {role}");
        roles.db.execute(&grant).await;

        let why = refused(worker_at(&roles.url(&roles.owner)).arg("migrate"));

        let revoke = format!("REVOKE CREATE ON SCHEMA \"{SCHEMA}\" FROM {role}");
        assert_says(&why, &[&format!("{role} may create objects"), &revoke]);
        roles.db.execute(&revoke).await;
        roles.migrate();
    }
}
