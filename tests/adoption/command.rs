//! `worker adopt`: triggers that are generated from a mapping, a copy that resumes, and the way back.

use std::process::Child;

use aggregation::UserIdType;

use crate::support::outside::assert_says;
use crate::support::rows::heart_rate;
use crate::support::running::{eventually, waiting};
use crate::support::{Database, Ran};

/// A table with names that SQL must quote, local times, and a status.
const TABLE: &str = r#"
    CREATE SCHEMA app;
    CREATE TYPE app.device AS ENUM ('watch', 'phone');
    CREATE TABLE app."Readings" (
        "reading's $1 id" bigint PRIMARY KEY, person integer, kind varchar(20), reading numeric, unit text,
        device app.device, taken timestamp, status text DEFAULT 'pending', note text);"#;

const NAME: &str = r#"app."Readings""#;

const MAP: &str =
    "user_id=person,metric=kind,value=reading,unit=unit,source=device,started_at=taken";

fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mapped = ["adopt", "--kind", "vitals", "--table", NAME, "--map", MAP];
    let words = ["--time-zone", "Asia/Kolkata", "--metric", "hr=heart_rate,walk=steps"];
    [mapped.as_slice(), &words, more].concat()
}

fn adopt(db: &Database, more: &[&str]) -> Ran {
    db.run(&arguments(more))
}

fn ended(running: Child) -> Ran {
    Ran::of(running.wait_with_output().unwrap())
}

async fn app() -> Database {
    let db = Database::with_user_ids(UserIdType::Bigint).await;
    db.execute(TABLE).await;
    db
}

/// Rows `from..=to` of users 1 to 3, a heart rate each minute.
async fn insert(db: &Database, from: i64, to: i64) {
    db.execute(&format!(
        r#"INSERT INTO app."Readings" ("reading's $1 id", person, kind, reading, unit, device, taken)
           SELECT n, 1 + n % 3, 'hr', 60 + n % 40, 'bpm', 'watch', timestamp '2026-01-05' + n * interval '1 minute'
           FROM generate_series({from}, {to}) AS n"#
    ))
    .await;
}

/// Rows that the app has and the raw table lacks, or the reverse.
async fn differences(db: &Database) -> i64 {
    db.value(
        r#"SELECT count(*)
           FROM (SELECT * FROM app."Readings" WHERE kind IN ('hr', 'walk') AND person IS NOT NULL) AS r
           FULL JOIN vitals_raw AS v ON v.user_id = r.person AND v.id = r."reading's $1 id"
           WHERE (v.metric = CASE r.kind WHEN 'hr' THEN 'heart_rate' ELSE 'steps' END
                  AND v.value = r.reading AND v.unit = r.unit AND v.source = r.device::text
                  AND v.started_at = r.taken AT TIME ZONE 'Asia/Kolkata' AND v.ended_at = v.started_at
                  AND v.time_zone = 'Asia/Kolkata') IS NOT TRUE"#,
    )
    .await
}

/// Everything of the app's schema and of ours that an adoption may leave behind.
async fn traces(db: &Database) -> String {
    db.value(
        "SELECT concat_ws(', ',
             (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal), (SELECT count(*) FROM pg_proc),
             (SELECT count(*) FROM pg_class), (SELECT count(*) FROM vitals_raw), (SELECT count(*) FROM adopted_tables),
             (SELECT count(*) FROM vitals_daily), (SELECT count(*) FROM aggregation_queue))",
    )
    .await
}

#[tokio::test]
async fn an_adopted_table_is_mirrored_until_it_is_left_without_a_trace() {
    let db = app().await;
    let before = traces(&db).await;
    insert(&db, 1, 500).await;
    let shown = adopt(&db, &["--dry-run"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert_says(
        &shown.stdout,
        &["CREATE TRIGGER dayfold_update", "\"reading's $1 id\"", "Nothing was changed"],
    );
    assert_eq!(traces(&db).await, before);

    let adopted = adopt(&db, &["--batch", "70", "--json"]);
    assert_eq!(adopted.code, 0, "{}", adopted.stderr);
    assert_eq!(adopted.json()["rows"], 500);
    let open = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'adopted\\_%'
                AND has_function_privilege('public', oid, 'EXECUTE')";
    assert_eq!(db.value::<i64>(open).await, 0, "only the owner may execute the function");
    insert(&db, 501, 600).await;
    assert_eq!(differences(&db).await, 0);
    db.run_once();
    let queued = "SELECT count(*) FROM aggregation_queue";
    db.execute(r#"UPDATE app."Readings" SET status = 'completed', note = 'seen'"#).await;
    assert_eq!(db.value::<i64>(queued).await, 0, "a column that is not mapped queues nothing");
    let corrections = r#"
        UPDATE app."Readings" SET reading = 99.5 WHERE "reading's $1 id" % 7 = 0;
        UPDATE app."Readings" SET person = 9, "reading's $1 id" = -"reading's $1 id" WHERE "reading's $1 id" % 11 = 0;
        UPDATE app."Readings" SET kind = 'mood' WHERE "reading's $1 id" % 13 = 0;
        UPDATE app."Readings" SET person = NULL WHERE "reading's $1 id" % 17 = 0;
        DELETE FROM app."Readings" WHERE "reading's $1 id" % 5 = 0"#;
    db.execute(corrections).await;
    assert_eq!(differences(&db).await, 0);
    db.run_once();
    assert_eq!(db.run(&["verify"]).code, 0);

    // The same command has nothing more to do; another mapping is refused.
    assert_eq!(adopt(&db, &["--json"]).json()["rows"], 0);
    let other = adopt(&db, &["--map", "comparator=note"]);
    assert_eq!(other.code, 1);
    assert_says(&other.stderr, &["another mapping", "--undo"]);

    let undone = db.run(&["adopt", "--undo", "--table", NAME]);
    assert_eq!(undone.code, 0, "{}", undone.stderr);
    db.run_once();
    assert_eq!(traces(&db).await, before);
    let again = db.run(&["adopt", "--undo", "--table", NAME]);
    assert_eq!(again.code, 1);
    assert_says(&again.stderr, &["is not adopted"]);
}

#[tokio::test]
async fn each_mistake_of_a_mapping_has_one_message_and_changes_nothing() {
    let db = app().await;
    db.execute(
        "CREATE TABLE app.odd (id uuid, person text, reading text, taken timestamptz, day date);
         CREATE VIEW app.shown AS SELECT * FROM app.odd",
    )
    .await;
    let before = traces(&db).await;
    let refused = |table: &str, map: &str, more: &[&str]| {
        let arguments =
            [&["adopt", "--kind", "vitals", "--table", table, "--map", map], more].concat();
        let ran = db.run(&arguments);
        assert_eq!(ran.code, 1, "{ran:?}");
        ran.stderr
    };
    let odd = refused(
        "app.odd",
        "user_id=person,value=reading,unit=units,source='a',started_at=day,colour=taken,metric='x',ended_at='now'",
        &["--time-zone", "Mars/Base"],
    );
    assert_says(
        &odd,
        &[
            "column person of app.odd is of type text, and user_id needs an integer",
            "column reading of app.odd is of type text, and value needs a number",
            "app.odd has no column units; it has id, person, reading, taken, day",
            "vitals_raw has no column colour",
            "ended_at cannot be a fixed text",
            "Mars/Base: the server knows no such zone",
            "app.odd has no primary key of one column",
        ],
    );
    assert_says(
        &refused(NAME, "user_id=person", &[]),
        &["--map metric=… is missing", "--map started_at=… is missing"],
    );
    assert_says(&refused(NAME, MAP, &[]), &["taken", "timestamp without time zone", "--time-zone"]);
    assert_says(&refused("app.shown", MAP, &[]), &["no ordinary table"]);
    assert_says(&refused("vitals_raw", MAP, &[]), &["a table of Dayfold"]);
    assert_says(&refused("app.nowhere", MAP, &[]), &["there is no such table"]);
    assert_says(&refused("a.\"b", MAP, &[]), &["no name of a table"]);
    assert_says(&refused(NAME, MAP, &["--metric", "hr=hart_rate"]), &["no metric hart_rate"]);
    db.insert([heart_rate(60).at("2026-01-05").source("other")]).await;
    let met = adopt(&db, &[]);
    assert_says(&met.stderr, &["vitals_raw has rows already", "--add-to-ids"]);
    db.execute("DELETE FROM vitals_raw; DELETE FROM aggregation_queue").await;
    assert_eq!(traces(&db).await, before);
}

#[tokio::test]
async fn values_that_do_not_fit_a_raw_table_fail_no_statement_of_the_app() {
    let db = app().await;
    assert_eq!(adopt(&db, &["--add-to-ids", "1000000000000"]).code, 0);
    db.execute(
        r#"INSERT INTO app."Readings" ("reading's $1 id", person, kind, reading, unit, device, taken)
           VALUES (1, 1, 'hr', 1e400, 'bpm', 'watch', '2026-01-05 10:01'), (2, 1, 'hr', 1e-400, 'bpm', 'watch', '2026-01-05 10:02'),
                  (3, 1, 'hr', 'NaN', 'bpm', 'watch', '2026-01-05 10:03'), (4, 1, 'hr', 60, 'bpm', 'watch', '294276-12-31 23:00'),
                  (5, 1, 'hr', 61, 'bpm', 'watch', '-infinity'), (6, 1, 'hr', 62, 'bpm', 'phone', '2026-01-05 10:00'),
                  (7, 1, 'hr', NULL, 'bpm', 'watch', '2026-01-05 10:00'), (8, 1, 'mood', 3, '1', 'watch', '2026-01-05 10:00')"#,
    )
    .await;
    assert_eq!(db.run_once()["rows_rejected"], 5);
    let figures = "SELECT sample_count || ' of ' || mean FROM vitals_daily WHERE metric = 'heart_rate' AND sample_count > 0";
    assert_eq!(db.value::<String>(figures).await, "1 of 62");
    let ids = "SELECT min(id) || ' ' || count(*) FROM vitals_raw";
    assert_eq!(db.value::<String>(ids).await, "1000000000001 6");
    db.execute(r#"TRUNCATE app."Readings""#).await;
    assert_eq!(db.value::<i64>("SELECT count(*) FROM vitals_raw").await, 0);
}

#[tokio::test]
async fn a_copy_waits_for_rows_that_the_app_holds_and_resumes_after_a_stop() {
    let db = app().await;
    insert(&db, 1, 300).await;
    // The app changes a row of the second page, and has not committed yet.
    let writer = db.connect().await;
    writer
        .batch_execute(
            r#"BEGIN; UPDATE app."Readings" SET reading = 77 WHERE "reading's $1 id" = 150"#,
        )
        .await
        .unwrap();
    let running = db.start(&arguments(&["--batch", "100", "--json"]));
    // Creating triggers waits for the writer.
    waiting(&db, 1).await;
    writer.batch_execute("COMMIT").await.unwrap();
    eventually(&db, "SELECT count(*) FROM adopted_tables WHERE state = 'copied'", 1).await;
    assert_eq!(ended(running).code, 0);
    assert_eq!(differences(&db).await, 0);

    // As if it had been stopped after the first page, with one row of the second page held.
    db.execute("DELETE FROM vitals_raw WHERE id > 100; UPDATE adopted_tables SET state = 'copying', up_to = 100").await;
    let blocker = r#"BEGIN; UPDATE app."Readings" SET note = 'held' WHERE "reading's $1 id" = 150"#;
    writer.batch_execute(blocker).await.unwrap();
    let running = db.start(&arguments(&["--batch", "100", "--json"]));
    eventually(
        &db,
        "SELECT least(1, count(*)) FROM pg_stat_activity WHERE application_name LIKE 'dayfold-worker@%' AND state = 'idle'
             AND datname = current_database() AND query LIKE '%FOR SHARE NOWAIT%'",
        1,
    )
    .await;
    writer
        .batch_execute(r#"DELETE FROM app."Readings" WHERE "reading's $1 id" = 151; COMMIT"#)
        .await
        .unwrap();
    assert_eq!(ended(running).json()["rows"], 199);
    assert_eq!(differences(&db).await, 0);
}

#[tokio::test]
async fn nothing_is_lost_or_left_while_the_app_writes_during_adoption_and_undo() {
    let db = app().await;
    let before = traces(&db).await;
    insert(&db, 1, 2000).await;
    let writer = |client: tokio_postgres::Client, first: i64| async move {
        for n in 0..150 {
            let id = first + n;
            let touched = (id * 37) % 2000;
            client
                .batch_execute(&format!(
                    r#"INSERT INTO app."Readings" ("reading's $1 id", person, kind, reading, unit, device, taken)
                       VALUES ({id}, 1 + {id} % 3, 'hr', 60, 'bpm', 'phone', timestamp '2026-02-01' + {id} * interval '1 second');
                       UPDATE app."Readings" SET reading = reading + 1 WHERE "reading's $1 id" = {touched};
                       DELETE FROM app."Readings" WHERE "reading's $1 id" = {touched} + 1"#
                ))
                .await
                .unwrap();
        }
    };
    let first = tokio::spawn(writer(db.connect().await, 10_000));
    let adopted = adopt(&db, &["--batch", "50"]);
    assert_eq!(adopted.code, 0, "{}", adopted.stderr);
    first.await.unwrap();
    assert_eq!(differences(&db).await, 0);

    let second = tokio::spawn(writer(db.connect().await, 20_000));
    let undone = db.run(&["adopt", "--undo", "--table", NAME, "--batch", "50"]);
    assert_eq!(undone.code, 0, "{}", undone.stderr);
    second.await.unwrap();
    db.run_once();
    assert_eq!(traces(&db).await, before);
}

#[tokio::test]
async fn a_row_whose_text_can_be_no_id_of_a_user_is_not_copied_and_fails_no_statement_of_the_app() {
    let db = Database::with_user_ids(UserIdType::Text).await;
    db.execute(
        "CREATE TABLE pulses (id serial PRIMARY KEY, person text, rate integer, at timestamptz DEFAULT '2026-01-05 10:00Z');
         INSERT INTO pulses (person, rate) VALUES ('anna', 60), ('', 61), (repeat('é', 513), 62), (E'a\nb', 63)",
    )
    .await;
    let map =
        "user_id=person,metric='heart_rate',value=rate,unit='bpm',source='watch',started_at=at";
    let adopted = db.run(&["adopt", "--kind", "vitals", "--table", "pulses", "--map", map]);
    assert_eq!(adopted.code, 0, "{}", adopted.stderr);
    let copied = async || -> String {
        db.value(
            "SELECT string_agg(left(user_id, 5) || ' ' || id, ', ' ORDER BY id) FROM vitals_raw",
        )
        .await
    };
    assert_eq!(copied().await, "anna 1");
    db.execute(
        "INSERT INTO pulses (person, rate) VALUES ('berta', 70), (E'\t', 71), (repeat('x', 1025), 72),
                                                  (repeat('x', 1024), 73)",
    )
    .await;
    assert_eq!(copied().await, "anna 1, berta 5, xxxxx 8");
    db.execute("UPDATE pulses SET person = 'carla' WHERE id = 2; UPDATE pulses SET person = '' WHERE id = 5").await;
    assert_eq!(copied().await, "anna 1, carla 2, xxxxx 8");
    db.execute("DELETE FROM pulses WHERE id IN (3, 8)").await;
    db.run_once();
    assert_eq!(copied().await, "anna 1, carla 2");
    assert_eq!(db.run(&["adopt", "--undo", "--table", "pulses"]).code, 0);
}

#[tokio::test]
async fn ids_of_users_of_each_type_are_adopted_from_a_column_of_that_type() {
    for (id_type, of_app, value) in [
        (UserIdType::Uuid, "uuid", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
        (UserIdType::Text, "varchar(40)", "anna@example.org"),
    ] {
        let db = Database::with_user_ids(id_type).await;
        db.execute(&format!(
            "CREATE TABLE pulses (id serial PRIMARY KEY, person {of_app}, other boolean, rate integer, at timestamptz);
             INSERT INTO pulses (person, rate, at) VALUES ('{value}', 60, '2026-01-05 10:00Z')"
        ))
        .await;
        let map =
            "user_id=person,metric='heart_rate',value=rate,unit='bpm',source='watch',started_at=at";
        let adopt =
            |map: &str| db.run(&["adopt", "--kind", "vitals", "--table", "pulses", "--map", map]);
        let refused = adopt(&map.replace("=person", "=other"));
        assert_eq!(refused.code, 1);
        assert_says(
            &refused.stderr,
            &["column other of public.pulses is of type boolean", id_type.name()],
        );
        let adopted = adopt(map);
        assert_eq!(adopted.code, 0, "{}", adopted.stderr);
        db.execute(&format!(
            "INSERT INTO pulses (person, rate, at) VALUES ('{value}', 70, '2026-01-05 11:00Z')"
        ))
        .await;
        db.run_once();
        let mean = format!("SELECT mean FROM vitals_daily WHERE user_id = '{value}'");
        assert_eq!(db.value::<f64>(&mean).await, 65.0);
        assert_eq!(db.run(&["adopt", "--undo", "--table", "pulses"]).code, 0);
        assert_eq!(db.value::<i64>("SELECT count(*) FROM vitals_raw").await, 0);
    }
}
