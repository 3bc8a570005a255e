//! Statements that a distributed database such as Citus can plan for the node that holds a schema.
//! No modification calls a volatile function, and no statement joins tables with temporary ones.
//!
//! This is checked by their text, without Citus.

use std::collections::BTreeSet;

use local_postgres::{Binaries, LocalPostgres};

use crate::support::outside::Scratch;
use crate::support::{Ran, connect, worker_at};

/// Statements of `verify` that join stored figures with computed ones in temporary tables. Citus does not
/// plan them: there, `verify` runs on a connection to the node that holds the schema.
const JOINS_TEMPORARY: &str = "pg_temp.";

/// The statement that notices that the server was restored to an older state. It compares the timeline of the
/// server itself, which Citus does not plan.
const OF_THE_FEED: &str = "INSERT INTO figure_feed";

#[tokio::test]
async fn no_modification_calls_a_volatile_function_and_only_verify_joins_temporary_tables() {
    let texts = statements().await;
    let of = |word: &str| texts.iter().filter(|text| text.contains(word)).count();
    for seen in ["aggregation_queue", "vitals_daily", "nutrition_daily", "lab_daily", "COPY"] {
        assert!(of(seen) > 0, "no statement has {seen}");
    }
    let volatile = volatile_functions().await;
    let mut faults = Vec::new();
    for text in &texts {
        let called: Vec<&String> = called(text).filter_map(|name| volatile.get(&name)).collect();
        if is_modification(text) && !called.is_empty() && !text.contains(OF_THE_FEED) {
            faults.push(format!("{called:?} in {text}"));
        }
        let joins = text.contains(JOINS_TEMPORARY) && text.contains("JOIN");
        let is_of_verify = text.contains("FULL JOIN") || text.contains("LEFT JOIN");
        if joins && !is_of_verify {
            faults.push(format!("a join with a temporary table in {text}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    // If one of the exceptions is gone, its name must go, too.
    assert!(of(JOINS_TEMPORARY) > 0 && of(OF_THE_FEED) > 0);
}

/// The texts of all statements of the commands, as the server saw them.
async fn statements() -> BTreeSet<String> {
    let binaries = Binaries::find_or_install(|line| eprintln!("{line}")).unwrap();
    let settings = [
        ("shared_preload_libraries", "pg_stat_statements"),
        ("pg_stat_statements.track_utility", "on"),
    ];
    let server = LocalPostgres::start_with(&binaries, &settings).unwrap();
    let url = server.url("postgres");
    let client = connect(&url).await;
    client.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let run = |arguments: &[&str]| {
        let ran = Ran::of(worker_at(&url).args(arguments).output().unwrap());
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
    };
    run(&["migrate"]);
    client.batch_execute("SELECT pg_stat_statements_reset()").await.unwrap();
    let scratch = Scratch::new();
    for (kind, rows) in [
        ("profiles", "user_id,time_zone\n1,Europe/Berlin\n"),
        (
            "vitals",
            "user_id,metric,value,unit,started_at,ended_at,source\n\
             1,heart_rate,60,bpm,2024-05-01T10:00:00Z,,watch\n\
             1,unheard_of,60,,2024-05-01T10:00:00Z,,watch\n\
             1,blood_glucose,100,mg/dL,2024-05-01T10:00:00Z,,watch\n\
             1,blood_pressure_systolic,120,mmHg,2024-05-01T10:00:00Z,,cuff\n\
             1,blood_pressure_diastolic,80,mmHg,2024-05-01T10:00:00Z,,cuff\n\
             1,steps,100,,2024-05-01T10:00:00Z,2024-05-01T10:10:00Z,watch\n\
             1,sleep_core,1,,2024-05-01T00:00:00Z,2024-05-01T06:00:00Z,watch\n",
        ),
        ("nutrition", "user_id,meal_type,eaten_at,energy_kcal\n1,lunch,2024-05-01T10:00:00Z,100\n"),
        (
            "labs",
            "user_id,value_text,status,collected_at,test_name,unit\n\
             1,5.5,final,2024-05-01T10:00:00Z,Glucose,mmol/L\n",
        ),
    ] {
        let file = scratch.file(kind, rows);
        run(&["import", "--kind", kind, file.to_str().unwrap()]);
    }
    run(&["run-once"]);
    client
        .batch_execute(
            "DELETE FROM vitals_raw WHERE metric = 'heart_rate';
             UPDATE nutrition_raw SET energy_kcal = 200; DELETE FROM lab_raw",
        )
        .await
        .unwrap();
    run(&["run-once"]);
    for command in [
        &["status", "--sessions"][..],
        &["verify"],
        &["requeue", "--user", "1"],
        &["requeue", "--dead"],
        &["run-once"],
        &["freeze", "--before", "2024-05-01"],
        &["freeze", "--before", "2024-05-01", "--user", "1"],
        &["freeze", "--lift"],
        &["backfill", "--from", "2024-05-01", "--to", "2024-05-01"],
    ] {
        run(command);
    }
    let rows = client
        .query(
            "SELECT query FROM pg_stat_statements WHERE toplevel AND query NOT LIKE '%pg_stat_statements%'",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The functions that PostgreSQL marks as volatile.
async fn volatile_functions() -> BTreeSet<String> {
    let url = crate::support::server().url("postgres");
    let names = connect(&url)
        .await
        .query("SELECT DISTINCT proname::text FROM pg_proc WHERE provolatile = 'v'", &[])
        .await
        .unwrap();
    let names: BTreeSet<String> = names.iter().map(|row| row.get(0)).collect();
    assert!(names.contains("clock_timestamp") && names.contains("nextval"));
    names
}

/// The names before a bracket.
fn called(text: &str) -> impl Iterator<Item = String> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices('(').filter_map(move |(at, _)| {
        let before = text[..at].trim_end();
        let begin = before.rfind(|c| !of_name(c)).map_or(0, |place| place + 1);
        (begin < before.len()).then(|| before[begin..].to_lowercase())
    })
}

/// Whether the statement changes rows, also in a part of it.
fn is_modification(text: &str) -> bool {
    let text = text.to_uppercase();
    let words: Vec<&str> =
        text.split_whitespace().map(|word| word.trim_start_matches('(')).collect();
    words.windows(2).any(|pair| {
        let updates = pair[1] == "UPDATE" && !["FOR", "DO", "KEY"].contains(&pair[0]);
        updates || ["INSERT", "DELETE"].contains(&pair[0]) && ["INTO", "FROM"].contains(&pair[1])
    })
}
