//! Ids of users of each type: the figures, the commands and the page work with each.

use std::os::unix::process::ExitStatusExt;

use aggregation::UserIdType;
use serde_json::Value;
use store::CRASH_VARIABLE;

use crate::page::client::Visitor;
use crate::page::{OPERATOR, served};
use crate::service::http::free_port;
use crate::support::outside::{Scratch, assert_says, refused};
use crate::support::running::eventually;
use crate::support::tables::{RAW, difference};
use crate::support::{Database, Ran, connect, user_ids, worker_at};

const QUEUED: &str = "SELECT count(*) FROM aggregation_queue";

/// Two ids of a type; the first one is less. That of a text has characters that addresses and CSV escape.
fn two_users(id_type: UserIdType) -> (&'static str, &'static str) {
    match id_type {
        UserIdType::Bigint => ("-7", "12"),
        UserIdType::Uuid => {
            ("0190d3a8-7c1e-7a53-9b0e-5d1f0a4c2e11", "f190d3a8-7c1e-7a53-9b0e-5d1f0a4c2e11")
        }
        UserIdType::Text => ("auth0|Zoë 1/2, \"B\"", "zoe"),
    }
}

/// A text that is no id of the type.
fn no_user(id_type: UserIdType) -> &'static str {
    match id_type {
        UserIdType::Bigint | UserIdType::Uuid => "abc",
        UserIdType::Text => "a\nb",
    }
}

fn quoted(user: &str) -> String {
    format!("\"{}\"", user.replace('"', "\"\""))
}

/// An id in an output of JSON.
fn in_json(id_type: UserIdType, user: &str) -> Value {
    match id_type {
        UserIdType::Bigint => user.parse::<i64>().unwrap().into(),
        UserIdType::Uuid | UserIdType::Text => user.into(),
    }
}

/// Imports rows of each kind for a user.
fn import(db: &Database, user: &str) {
    let (scratch, user) = (Scratch::new(), quoted(user));
    let mut vitals = String::from("user_id,metric,value,unit,source,started_at,ended_at\n");
    for (metric, value, unit, from, to) in [
        ("heart_rate", "60", "bpm", "2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z"),
        ("heart_rate", "70", "bpm", "2024-05-01T11:00:00Z", "2024-05-01T11:00:00Z"),
        ("steps", "500", "count", "2024-05-01T10:00:00Z", "2024-05-01T11:00:00Z"),
        ("sleep_deep", "8", "h", "2024-04-30T22:00:00Z", "2024-05-01T06:00:00Z"),
        ("blood_glucose", "100", "mg/dL", "2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z"),
        ("blood_pressure_systolic", "120", "mmHg", "2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z"),
        ("blood_pressure_diastolic", "80", "mmHg", "2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z"),
        ("heart_rate", "-5", "bpm", "2024-05-01T12:00:00Z", "2024-05-01T12:00:00Z"),
    ] {
        vitals.push_str(&format!("{user},{metric},{value},{unit},watch,{from},{to}\n"));
    }
    for (kind, content) in [
        ("profiles", format!("user_id,time_zone,source_priority\n{user},UTC,watch\n")),
        ("vitals", vitals),
        (
            "nutrition",
            format!(
                "user_id,meal_type,eaten_at,energy_kcal,source\n{user},lunch,2024-05-01T12:00:00Z,700,app\n"
            ),
        ),
        (
            "labs",
            format!(
                "user_id,value_text,status,collected_at,test_name,unit\n\
                 {user},5.2,final,2024-05-01T08:00:00Z,Glucose,mmol/L\n"
            ),
        ),
    ] {
        let file = scratch.file(kind, &content);
        let ran = db.run(&["import", "--kind", kind, file.to_str().unwrap()]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    }
}

/// A database with two users' rows of each kind in the figures.
async fn two_users_computed(id_type: UserIdType) -> Database {
    let db = Database::with_user_ids(id_type).await;
    let (one, other) = two_users(id_type);
    import(&db, one);
    import(&db, other);
    let run = db.run_once();
    assert_eq!((&run["rows_completed"], &run["rows_rejected"]), (&18.into(), &2.into()));
    db
}

/// The users of a table's figures, in order.
async fn users_of(db: &Database, table: &str) -> Vec<String> {
    let sql = format!("SELECT DISTINCT user_id FROM {table} ORDER BY user_id");
    let sql = format!("SELECT user_id::text FROM ({sql}) AS users");
    db.query(&sql, &[]).await.iter().map(|row| row.get(0)).collect()
}

/// The database has the figures that a computation from scratch makes.
async fn assert_as_from_scratch(db: &Database) {
    let scratch = Database::with_user_ids(db.id_type).await;
    for table in RAW.into_iter().chain(["user_profiles"]) {
        scratch.insert_raw_rows(table, &db.raw_rows(table).await).await;
    }
    scratch.run_once();
    let (lived, again) = (db.figures_as_text().await, scratch.figures_as_text().await);
    assert_eq!(difference(&lived, &again), None);
    let ran = db.run(&["verify"]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// Runs the worker with a user, whose id no support of the tests changes.
fn run_of(db: &Database, arguments: &[&str], user: &str) -> Ran {
    Ran::of(db.worker().args(arguments).args(["--user", user]).output().unwrap())
}

#[tokio::test]
async fn figures_of_each_kind_follow_their_rows_with_ids_of_each_type() {
    for id_type in UserIdType::ALL {
        let db = two_users_computed(id_type).await;
        let (one, other) = two_users(id_type);
        for table in [
            "vitals_daily",
            "vitals_hourly",
            "sleep_daily",
            "blood_pressure_daily",
            "glucose_daily",
            "nutrition_daily",
            "lab_daily",
            "rejected_rows",
            "vitals_weekly",
            "lab_monthly",
        ] {
            assert_eq!(users_of(&db, table).await, [one, other], "{id_type}: {table}");
        }
        assert_as_from_scratch(&db).await;

        // One row, several rows, a row that moves to the other user, and all rows of a table.
        let greatest = "(SELECT user_id FROM user_profiles ORDER BY user_id DESC LIMIT 1)";
        let least = "(SELECT user_id FROM user_profiles ORDER BY user_id LIMIT 1)";
        for change in [
            format!(
                "UPDATE vitals_raw SET value = 64 WHERE metric = 'heart_rate' AND value = 60 AND user_id = {least}"
            ),
            format!(
                "UPDATE vitals_raw SET user_id = {greatest} WHERE metric = 'steps' AND user_id = {least}"
            ),
            "UPDATE vitals_raw SET value = value + 1 WHERE metric = 'heart_rate'".to_owned(),
            format!("DELETE FROM nutrition_raw WHERE user_id = {least}"),
            format!(
                "INSERT INTO lab_raw (user_id, source, test_name, value_text, unit, status, collected_at)
                 VALUES ({least}, '', 'Glucose', '6.2', 'mmol/L', 'final', '2024-05-03 08:00Z')"
            ),
            "TRUNCATE nutrition_raw".to_owned(),
        ] {
            db.execute(&change).await;
            db.run_once();
            assert_eq!(db.value::<i64>(QUEUED).await, 0, "{id_type}: {change}");
        }
        assert_eq!(users_of(&db, "nutrition_daily").await, [""; 0], "{id_type}");
        let steps = format!(
            "SELECT sum(total) FROM vitals_daily WHERE metric = 'steps' AND user_id = {greatest}"
        );
        // Both users' steps have the same time and source, so they count once.
        assert_eq!(db.value::<f64>(&steps).await, 500.0, "{id_type}");
        let moved = format!(
            "SELECT count(*) FROM vitals_daily WHERE metric = 'steps' AND user_id = {least}"
        );
        assert_eq!(db.value::<i64>(&moved).await, 0, "{id_type}");
        assert_as_from_scratch(&db).await;
    }
}

#[tokio::test]
async fn a_worker_that_is_killed_loses_nothing_with_ids_of_each_type() {
    for id_type in UserIdType::ALL {
        let db = Database::with_user_ids(id_type).await;
        import(&db, two_users(id_type).0);
        import(&db, two_users(id_type).1);
        for message in ["12", "20"] {
            let mut command = db.worker();
            let output = command.args(["run-once"]).env(CRASH_VARIABLE, message).output().unwrap();
            assert!(output.status.signal().is_some(), "{id_type}: {output:?}");
            db.execute(
                "UPDATE aggregation_queue SET lease_expires_at = now() - interval '1 s'
                 WHERE state = 'processing'",
            )
            .await;
        }
        db.run_once();
        assert_eq!(db.value::<i64>(QUEUED).await, 0, "{id_type}");
        assert_as_from_scratch(&db).await;
    }
}

#[tokio::test]
async fn commands_take_and_show_ids_of_each_type() {
    for id_type in UserIdType::ALL {
        let db = two_users_computed(id_type).await;
        let (one, other) = two_users(id_type);

        let ran = run_of(&db, &["requeue", "--yes", "--json"], one);
        assert_eq!(
            (ran.code, &ran.json()["requeued"]["vitals"]),
            (0, &8.into()),
            "{id_type}: {ran:?}"
        );
        assert_eq!(users_of(&db, "aggregation_queue").await, [one], "{id_type}");
        db.run_once();
        let ran = db.run(&["requeue", "--kind", "vitals", "--yes", "--json"]);
        assert_eq!(
            (ran.code, &ran.json()["requeued"]["vitals"]),
            (0, &16.into()),
            "{id_type}: {ran:?}"
        );
        assert_eq!(users_of(&db, "aggregation_queue").await, [one, other], "{id_type}");
        db.run_once();

        // A changed figure is found and repaired, for the right user.
        db.execute("UPDATE vitals_daily SET mean = 1 WHERE metric = 'heart_rate'").await;
        let ran = run_of(&db, &["verify", "--json"], other);
        assert_eq!(ran.code, 4, "{id_type}: {ran:?}");
        let drift = ran.json()["drift"].as_array().unwrap().clone();
        assert_eq!(drift.len(), 1, "{id_type}: {drift:?}");
        assert_eq!(drift[0]["user_id"], in_json(id_type, other), "{id_type}");
        assert_eq!(db.run(&["verify", "--json"]).json()["drift"].as_array().unwrap().len(), 2);
        assert_says(&run_of(&db, &["verify"], other).stdout, &[other]);
        assert_eq!(run_of(&db, &["verify", "--repair"], other).code, 0, "{id_type}");
        let dates = ["--from", "2024-05-01", "--to", "2024-05-01"];
        let ran = run_of(&db, &["backfill", dates[0], dates[1], dates[2], dates[3]], one);
        assert_eq!(ran.code, 0, "{id_type}: {ran:?}");
        db.execute("UPDATE sleep_daily SET asleep_minutes = 1").await;
        assert_eq!(db.run(&["verify"]).code, 4, "{id_type}");
        let all = db.run(&["backfill", dates[0], dates[1], dates[2], dates[3], "--json"]);
        assert_eq!((all.code, &all.json()["users"]), (0, &2.into()), "{id_type}: {all:?}");
        assert_as_from_scratch(&db).await;

        let report = ["report", dates[0], dates[1], dates[2], dates[3], "--html", "-"];
        let ran = run_of(&db, &report, one);
        assert_eq!(ran.code, 0, "{id_type}: {ran:?}");
        let escaped = one.replace('"', "&quot;");
        assert_says(&ran.stdout, &[&format!("User {escaped}, "), "Heart rate"]);
        assert_eq!(db.run(&["status"]).code, 0, "{id_type}");
    }
}

#[tokio::test]
async fn an_id_of_another_type_is_wrong_usage_and_a_line_with_one_is_left_out() {
    for id_type in UserIdType::ALL {
        let db = Database::with_user_ids(id_type).await;
        let wrong = no_user(id_type);
        let dates = ["--from", "2024-05-01", "--to", "2024-05-01"];
        for command in [
            vec!["verify"],
            vec!["requeue", "--yes"],
            [&["backfill"], &dates[..]].concat(),
            [&["report", "--html", "-"], &dates[..]].concat(),
        ] {
            let ran = run_of(&db, &command, wrong);
            assert_eq!(ran.code, 2, "{id_type}: {ran:?}");
            let says = format!("{wrong:?} is no user id of type {id_type}: it needs ");
            assert_says(&ran.stderr, &["--user <ID>", &says]);
        }
        let scratch = Scratch::new();
        let good = quoted(two_users(id_type).0);
        let content = format!(
            "user_id,time_zone\n{},UTC\n{good},UTC\n",
            quoted(wrong).replace('\n', "\u{1}")
        );
        let file = scratch.file("profiles", &content);
        let ran = db.run(&["import", "--kind", "profiles", file.to_str().unwrap()]);
        assert_eq!(ran.code, 3, "{id_type}: {ran:?}");
        assert_says(&ran.stderr, &["line 2", "user_id"]);
        assert_eq!(users_of(&db, "user_profiles").await, [two_users(id_type).0], "{id_type}");
    }
}

#[tokio::test]
async fn ids_are_walked_in_the_order_of_the_database_with_each_type() {
    for id_type in UserIdType::ALL {
        let db = Database::with_user_ids(id_type).await;
        let numbers: Vec<i64> = (1..=30).collect();
        let texts: Vec<String> =
            numbers.iter().map(|number| user_ids::id(id_type, *number)).collect();
        db.client
            .execute(
                "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
                 SELECT u.id::user_key, 'heart_rate', 60, 'bpm', 'watch', at, at
                 FROM unnest($1::text[]) AS u (id), LATERAL (SELECT timestamptz '2024-05-01 10:00Z' AS at) AS t",
                &[&texts],
            )
            .await
            .unwrap();
        db.run_once();
        db.execute("DELETE FROM vitals_daily; DELETE FROM vitals_hourly").await;
        let ran = db.run(&["verify", "--repair", "--json"]);
        let report = ran.json();
        assert_eq!((ran.code, &report["users"]), (0, &30.into()), "{id_type}: {ran:?}");
        assert_eq!(users_of(&db, "vitals_daily").await.len(), 30, "{id_type}");
    }
}

#[tokio::test]
async fn the_page_shows_a_day_of_a_user_and_acts_for_one_with_ids_of_each_type() {
    for id_type in UserIdType::ALL {
        let db = two_users_computed(id_type).await;
        let (one, _) = two_users(id_type);
        let port = free_port();
        let service = served(&db, &port).await;
        let visitor = Visitor::signed_in(&port, OPERATOR);
        let escaped: String = one.bytes().map(|byte| format!("%{byte:02X}")).collect();

        let asked = visitor.get(&format!("/users?user={escaped}&date=2024-05-01"));
        assert_eq!(asked.status, 303, "{id_type}: {asked:?}");
        let shown = visitor.get(asked.header("location"));
        assert_eq!(shown.status, 200, "{id_type}: {shown:?}");
        let name = one.replace('"', "&quot;");
        assert_says(&shown.body, &[&format!("User {name}, "), "heart_rate"]);
        let day = visitor.get(&format!("/api/users/{escaped}/days/2024-05-01")).json();
        assert_eq!(day["user_id"], in_json(id_type, one), "{id_type}");
        assert!(day["rows"].as_array().unwrap().len() >= 10, "{id_type}: {day:#}");
        service.logs("user_day_viewed").await;
        let viewed = &service.events("user_day_viewed")[0];
        assert_eq!(viewed["user_id"], in_json(id_type, one), "{id_type}");

        let wrong: String = no_user(id_type).bytes().map(|byte| format!("%{byte:02X}")).collect();
        let refused = visitor.get(&format!("/api/users/{wrong}/days/2024-05-01"));
        assert_eq!(refused.status, 400, "{id_type}: {refused:?}");
        assert_says(&refused.body, &["The user must be a "]);

        let range = format!("user={escaped}&from=2024-05-01&to=2024-05-01");
        let confirm = visitor.get(&format!("/actions/confirm?action=verify&{range}"));
        assert_eq!(confirm.status, 200, "{id_type}: {confirm:?}");
        assert_says(&confirm.body, &[&format!("user {name}, 2024-05-01 to 2024-05-01")]);
        let csrf = confirm.body.split("name=\"csrf\" value=\"").nth(1).unwrap();
        let csrf = csrf.split('"').next().unwrap();
        let fields = [
            ("csrf", csrf),
            ("action", "backfill"),
            ("user", one),
            ("from", "2024-05-01"),
            ("to", "2024-05-01"),
        ];
        assert_eq!(visitor.post("/actions", &fields).status, 303, "{id_type}");
        let done = "SELECT count(*) FROM operator_actions WHERE state <> 'done'";
        eventually(&db, done, 0).await;
        let target: String = db.value("SELECT target FROM operator_actions").await;
        assert_eq!(target, format!("user {one}, 2024-05-01 to 2024-05-01"));
        service.stops();
    }
}

#[tokio::test]
async fn every_table_has_ids_of_the_chosen_type() {
    for (id_type, collation) in
        [(UserIdType::Bigint, None), (UserIdType::Uuid, None), (UserIdType::Text, Some("C"))]
    {
        let db = Database::with_user_ids(id_type).await;
        let columns = db
            .query(
                "SELECT c.relname::text, format_type(a.atttypid, a.atttypmod), l.collname::text
                 FROM pg_class AS c
                 JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'user_id'
                 LEFT JOIN pg_collation AS l ON l.oid = a.attcollation
                 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')",
                &[],
            )
            .await;
        assert!(columns.len() > 20, "{} tables and views", columns.len());
        for column in columns {
            let found: (String, Option<String>) = (column.get(1), column.get(2));
            let expected = (id_type.name().to_owned(), collation.map(str::to_owned));
            assert_eq!(found, expected, "{}", column.get::<_, String>(0));
        }
        let trial = db.run(&["doctor", "--json"]);
        assert_eq!(trial.code, 0, "{id_type}: {trial:?}");
        for function in ["queue_changed_vitals", "queue_truncated_labs"] {
            let text: String =
                db.value(&format!("SELECT prosrc FROM pg_proc WHERE proname = '{function}'")).await;
            assert_says(&text, &[&format!("user_id::{id_type}")]);
        }
    }
}

#[tokio::test]
async fn texts_that_are_no_ids_are_refused_where_an_app_inserts_them() {
    let db = Database::with_user_ids(UserIdType::Text).await;
    let insert =
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
                  VALUES ($1, 'heart_rate', 60, 'bpm', 'watch', now(), now())";
    let long = "a".repeat(1025);
    for wrong in ["", "a\tb", long.as_str()] {
        let refused = db.client.execute(insert, &[&wrong]).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "23514", "{wrong:?}");
    }
    let longest = "é".repeat(512);
    db.client.execute(insert, &[&longest]).await.unwrap();
    db.run_once();
    assert_eq!(users_of(&db, "vitals_daily").await, [longest]);
    assert_eq!(db.run(&["verify"]).code, 0);
}

#[tokio::test]
async fn the_type_is_chosen_once() {
    let db = Database::with_user_ids(UserIdType::Uuid).await;
    assert_eq!(db.run(&["migrate"]).stdout, "The schema is up to date.\n");
    assert_eq!(db.run(&["migrate", "--user-id", "uuid"]).code, 0);
    let reason = refused(db.worker().args(["migrate", "--user-id", "bigint"]));
    assert_says(&reason, &["user ids of type uuid, which never changes", "--beside"]);
    let wrong = db.run(&["migrate", "--user-id", "int"]);
    assert_eq!(wrong.code, 2);
    assert_says(&wrong.stderr, &["bigint, uuid or text is needed"]);

    // A migration that was interrupted goes on with the type of the tables.
    db.execute(
        "DROP DOMAIN user_key;
         DELETE FROM __diesel_schema_migrations WHERE version LIKE '%000060'",
    )
    .await;
    assert_eq!(db.run(&["migrate"]).stdout, "applied 2026-11-30-000060_user_key\n");
    let base: String = db
        .value("SELECT format_type(typbasetype, NULL) FROM pg_type WHERE typname = 'user_key'")
        .await;
    assert_eq!(base, "uuid");
}

#[tokio::test]
async fn texts_as_ids_need_a_database_that_knows_its_encoding() {
    let db = Database::empty().await;
    let name = format!("{}_ascii", db.name);
    db.execute(&format!(
        "CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    ))
    .await;
    let url = db.url.replace(&db.name, &name);
    let reason = refused(worker_at(&url).args(["migrate", "--user-id", "text"]));
    assert_says(&reason, &["need a database with the encoding UTF8", "SQL_ASCII"]);
    assert!(worker_at(&url).args(["migrate", "--user-id", "uuid"]).status().unwrap().success());
    drop(connect(&url).await);
}
