//! An app may store anything. Every row is in the figures or rejected with a reason, nothing fails,
//! no other user's figures change, and no value is logged.
//!
//! `just hostile` stores 100,000 such rows, with the seed as its second argument.

mod changes;
mod columns;
mod good;
mod profiles;
mod rows;
mod texts;

use std::collections::BTreeSet;

use self::rows::Rows;
use self::texts::{Dice, MARK, MARKED_DIGITS};
use crate::support::tables::difference;
use crate::support::{Database, Ran};

/// As many hostile rows as take a few seconds.
const DEFAULT_ROWS: usize = 1_200;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Computes all due rows with the finest log level, and searches the log for values. A drain ends
/// with its time budget, so a hundred thousand rows take some.
async fn drain(db: &Database) -> Vec<Ran> {
    let mut runs = Vec::new();
    while db.value::<i64>("SELECT count(*) FROM aggregation_queue").await > 0 {
        let mut worker = db.worker();
        worker.env("WORKER__LOG__LEVEL", "debug").args(["run-once", "--json"]);
        let ran = Ran::of(worker.output().unwrap());
        assert_silent(&ran);
        let is_bad = |line: &&str| line.contains("\"ERROR\"") || line.contains("\"WARN\"");
        let complaints: Vec<&str> = ran.stderr.lines().filter(is_bad).take(5).collect();
        assert_eq!(ran.code, 0, "{complaints:#?} {}", ran.stdout);
        let report = ran.json();
        assert_eq!((&report["groups_failed"], &report["rows_failed"]), (&0.into(), &0.into()));
        assert!(report["rows_claimed"].as_u64() > Some(0), "rows are postponed: {report}");
        runs.push(ran);
    }
    let postponed = runs.iter().flat_map(|ran| ran.events("rows_postponed")).count();
    assert_eq!(postponed, 0);
    runs
}

fn assert_silent(ran: &Ran) {
    for said in [&ran.stdout, &ran.stderr] {
        for secret in [MARK, MARKED_DIGITS] {
            let line = said.lines().find(|line| line.to_lowercase().contains(secret));
            assert_eq!(line, None, "says what was in a row");
        }
    }
}

async fn lines_of(db: &Database, sql: &str) -> Vec<String> {
    db.query(sql, &[]).await.iter().map(|row| row.get(0)).collect()
}

/// Facts about the tables that hold after every drain.
async fn assert_sound(db: &Database) {
    let unfinished = "SELECT count(*) FROM raw_row_status WHERE status <> 'completed'";
    assert_eq!(db.value::<i64>(unfinished).await, 0);
    let without_row = "SELECT count(*) FROM rejected_rows AS r
                       WHERE NOT EXISTS (SELECT FROM raw_row_status AS s
                                         WHERE (s.user_id, s.kind, s.raw_id) = (r.user_id, r.kind, r.raw_id))";
    assert_eq!(db.value::<i64>(without_row).await, 0, "what is rejected is a row");
    for table in db.figure_tables().await {
        let figures = format!(
            "SELECT coalesce(string_agg(DISTINCT name, ' '), '') FROM {table} AS f, jsonb_each_text(to_jsonb(f)) AS c (name, value)
             WHERE value IN ('NaN', 'Infinity', '-Infinity', 'infinity', '-infinity')"
        );
        assert_eq!(db.value::<String>(&figures).await, "", "{table}: no number and no time");
    }
    for view in
        lines_of(db, "SELECT viewname::text FROM pg_views WHERE schemaname = current_schema()")
            .await
    {
        db.query(&format!("SELECT v::text FROM {view} AS v"), &[]).await;
    }
    let ran = db.run(&["verify", "--json"]);
    assert_silent(&ran);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

/// The good users' figures, or those of users who share their days with hostile rows. Theirs count
/// what was rejected, and a night's reach spans it.
async fn figures_of(db: &Database, users: &str, is_shared: bool) -> Vec<String> {
    let mut figures = Vec::new();
    for table in db.figure_tables().await.iter().filter(|table| *table != "rejected_rows") {
        let rows = db.rows_as_text(table, &format!("user_id {users}")).await;
        figures.extend(rows.iter().map(|row| {
            let columns = row.split("  ").filter(|column| {
                let beside = ["rejected_count=", "reach_start=", "reach_end="];
                !is_shared || !beside.iter().any(|name| column.starts_with(name))
            });
            format!("{table}: {}", columns.collect::<Vec<_>>().join("  "))
        }));
    }
    figures
}

#[tokio::test]
async fn any_rows_are_counted_or_rejected_and_harm_nobody() {
    let (number, seed) = (setting("HOSTILE_ROWS", DEFAULT_ROWS), setting("HOSTILE_SEED", 1));
    let mut dice = Dice::new(seed as u64);
    let (db, good_alone) = (Database::new().await, Database::new().await);
    for db in [&db, &good_alone] {
        db.execute(good::PROFILES).await;
        good::insert(db, 0).await;
    }
    let profiles = profiles::insert(&db, &mut dice).await;
    let (hostile, broken) =
        (Rows::any(&mut dice, number * 3 / 4), Rows::broken(&mut dice, number / 4));
    hostile.insert(&db).await;
    broken.insert(&db).await;
    rows::insert_at_the_ends_of_ids(&db).await;
    for db in [&db, &good_alone] {
        good::insert(db, 1).await;
    }

    let runs = drain(&db).await;
    drain(&good_alone).await;
    assert!(runs.iter().any(|ran| !ran.events("group_committed").is_empty()), "it is talkative");
    assert_sound(&db).await;
    let reasons = "SELECT count(DISTINCT reason) FROM rejected_rows";
    assert_eq!(db.value::<i64>(reasons).await, 14, "each reason has a row");
    let rejected = format!("SELECT count(*) FROM rejected_rows WHERE user_id {}", good::SHARED);
    assert_eq!(db.value::<i64>(&rejected).await, broken.len() as i64, "every broken row");
    let counted =
        "SELECT count(*) FROM raw_row_status WHERE rejected_reason IS NULL AND user_id < 0";
    assert!(db.value::<i64>(counted).await > (number / 20) as i64, "some of the others count");
    assert!(profiles > 20);

    let alone = figures_of(&good_alone, good::USERS, false).await;
    assert_eq!(difference(&figures_of(&db, good::USERS, false).await, &alone), None);
    let shared: BTreeSet<_> = figures_of(&db, good::SHARED, true).await.into_iter().collect();
    for row in figures_of(&good_alone, good::SHARED, true).await {
        assert!(shared.contains(&row), "{row}");
    }

    // Good rows become hostile, and good again; the hostile ones go.
    for (user, kind) in [(1, "vitals_raw"), (2, "nutrition_raw"), (3, "lab_raw"), (4, "vitals_raw")]
    {
        changes::turn_hostile(&db, &mut dice, kind, user).await;
    }
    drain(&db).await;
    assert_sound(&db).await;
    for table in crate::support::tables::RAW {
        changes::turn_back(&db, table).await;
    }
    drain(&db).await;
    assert_sound(&db).await;
    assert_eq!(difference(&figures_of(&db, good::USERS, false).await, &alone), None);
    for table in crate::support::tables::RAW {
        let is_hostile = "source NOT IN ('watch', 'phone', 'cgm', 'cuff', 'app', 'lab')";
        db.execute(&format!(
            "DELETE FROM {table} WHERE user_id < 0 OR user_id > 1000 OR {is_hostile}"
        ))
        .await;
    }
    drain(&db).await;
    assert_sound(&db).await;
    let (left, alone) = (db.figures_as_text().await, good_alone.figures_as_text().await);
    assert_eq!(difference(&left, &alone), None, "of the hostile rows nothing is left");
}

/// A value that PostgreSQL itself refuses never becomes a row.
#[tokio::test]
async fn text_with_a_nul_is_refused_by_the_database() {
    let db = Database::new().await;
    for column in ["metric", "unit", "source", "comparator", "time_zone"] {
        let columns = ["metric", "unit", "source", "comparator", "time_zone"];
        let values = columns.map(|name| if name == column { "a\0b" } else { "a" });
        let [a, b, c, d, e] = &values;
        let insert = "INSERT INTO vitals_raw (user_id, value, started_at, ended_at, metric, unit, source, comparator, time_zone)
             VALUES (1, 1, now(), now(), $1, $2, $3, $4, $5)";
        let inserted = db.client.execute(insert, &[a, b, c, d, e]).await;
        assert!(inserted.is_err(), "{column}");
    }
    assert_eq!(db.value::<i64>("SELECT count(*) FROM aggregation_queue").await, 0);
}
