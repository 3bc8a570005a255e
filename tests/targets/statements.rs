//! Statements that a distributed database such as Citus can plan for the node that holds a schema:
//!
//! - No statement uses a temporary table.
//! - No modification calls a volatile function, and no column that ours leave out has one as its default.
//! - No INSERT reads the rows of a trigger's statement; the triggers read them into variables first.
//!
//! This is checked by the texts that the server saw, without Citus.

use std::collections::BTreeSet;

use local_postgres::{Binaries, LocalPostgres};
use tokio_postgres::Client;

use crate::support::outside::Scratch;
use crate::support::receivers::{Encryption, Receiver};
use crate::support::running::Running;
use crate::support::{Ran, connect, root, worker_at};

/// Defaults that are volatile, with the reason why they stay.
const VOLATILE_DEFAULTS: [(&str, &str); 1] = [(
    "aggregation_queue.id",
    "a trigger inserts single rows by VALUES, for which Citus evaluates defaults before it plans; the number \
     must differ from those of a restored dump",
)];

/// Commands that run one after the other on a database with figures of 2024-05-01.
pub(super) const COMMANDS: [&[&str]; 12] = [
    &["status", "--sessions"],
    &["verify", "--repair"],
    &["requeue", "--user", "1"],
    &["requeue", "--dead"],
    &["run-once"],
    &["freeze", "--before", "2024-05-01"],
    &["freeze", "--before", "2024-05-01", "--user", "1"],
    &["freeze", "--lift"],
    &["backfill", "--from", "2024-05-01", "--to", "2024-05-01"],
    &["pause", "labs"],
    &["resume", "labs"],
    &["doctor"],
];

/// Changes of raw rows that were imported.
pub(super) const CHANGE: &str = "DELETE FROM vitals_raw WHERE metric = 'heart_rate';
    UPDATE nutrition_raw SET energy_kcal = 200; DELETE FROM lab_raw";

#[tokio::test]
async fn every_statement_can_be_planned_for_the_node_that_holds_the_schema() {
    let (server, texts) = statements().await;
    let client = connect(&server.url("postgres")).await;
    let of = |word: &str| texts.iter().filter(|text| text.contains(word)).count();
    let seen = [
        "aggregation_queue",
        "vitals_daily",
        "nutrition_daily",
        "lab_daily",
        "sha256",
        "figure_feed",
        "figure_webhook",
        "alert_outbox",
        "worker_presence",
        "FROM changed",
        "COPY",
    ];
    for seen in seen {
        assert!(of(seen) > 0, "no statement has {seen}");
    }
    let volatile = volatile_functions(&client).await;
    let mut faults = Vec::new();
    for text in &texts {
        let called: Vec<&String> = called(text).filter_map(|name| volatile.get(&name)).collect();
        if is_modification(text) && !called.is_empty() {
            faults.push(format!("{called:?} in {text}"));
        }
        let upper = text.to_uppercase();
        if upper.contains("PG_TEMP.") || upper.contains("CREATE TEMP") {
            faults.push(format!("a temporary table in {text}"));
        }
        let reads_transition = ["FROM changed", "FROM old_rows"].iter().any(|of| text.contains(of));
        if reads_transition && upper.contains("INSERT INTO") {
            faults.push(format!("an INSERT from a trigger's rows in {text}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    let expected = BTreeSet::from(VOLATILE_DEFAULTS.map(|(column, _)| column.to_owned()));
    assert_eq!(volatile_defaults(&client).await, expected);
}

/// A server on which all commands have run, and the texts of their statements, with those of triggers.
async fn statements() -> (LocalPostgres, BTreeSet<String>) {
    let binaries = Binaries::find_or_install(|line| eprintln!("{line}")).unwrap();
    let settings = [
        ("shared_preload_libraries", "pg_stat_statements"),
        ("pg_stat_statements.track", "all"),
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
    import(&run);
    run(&["run-once"]);
    client.batch_execute(CHANGE).await.unwrap();
    run(&["run-once"]);
    for command in COMMANDS {
        run(command);
    }
    serve(&url, &client).await;
    let rows = client
        .query(
            "SELECT query FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'",
            &[],
        )
        .await
        .unwrap();
    let texts = rows.iter().map(|row| row.get(0)).collect();
    (server, texts)
}

/// Imports rows of each kind from a table, and vitals from an export.
pub(super) fn import(run: &impl Fn(&[&str])) {
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
    for name in ["nightscout.json", "observations.ndjson"] {
        run(&[
            "import",
            "--user",
            "2",
            "--time-zone",
            "UTC",
            &root().join("tests/import/samples").join(name).display().to_string(),
        ]);
    }
}

/// Runs a service that sends an alert and changed days.
pub(super) async fn serve(url: &str, client: &Client) {
    let receiver = Receiver::of_posts(Encryption::None);
    let address = format!("http://127.0.0.1:{}/", receiver.port);
    let settings = [
        ("WORKER__WEBHOOK__URL", address.as_str()),
        ("WORKER__CHANGES__WEBHOOK_URL", &address),
        ("WORKER__CHANGES__WEBHOOK_SECRET", "a-secret-of-thirty-two-characters"),
        ("WORKER__ALERTS__DEAD_ROWS", "1"),
        ("WORKER__SERVICE__OBSERVE_SECONDS", "1"),
        ("WORKER__LOG__LEVEL", "info,worker=debug"),
    ];
    client
        .batch_execute(
            "INSERT INTO aggregation_queue (kind, user_id, starts_at, ends_at, raw_ids, state, not_before, last_error)
             VALUES ('vitals', 9, now(), now(), '{1}', 'dead', 'infinity', 'refused 23514 vitals_daily')",
        )
        .await
        .unwrap();
    let service = Running::service(worker_at(url), &settings);
    service.logs("alert_delivered").await;
    service.logs("changes_delivered").await;
    client.batch_execute("DELETE FROM aggregation_queue").await.unwrap();
    service.logs("alert_resolved").await;
    service.stops();
}

/// The functions that PostgreSQL marks as volatile.
async fn volatile_functions(client: &Client) -> BTreeSet<String> {
    let names = client
        .query("SELECT DISTINCT proname::text FROM pg_proc WHERE provolatile = 'v'", &[])
        .await
        .unwrap();
    let names: BTreeSet<String> = names.iter().map(|row| row.get(0)).collect();
    assert!(names.contains("clock_timestamp") && names.contains("nextval"));
    names
}

/// The columns of our tables whose default calls a volatile function.
async fn volatile_defaults(client: &Client) -> BTreeSet<String> {
    let volatile = volatile_functions(client).await;
    let defaults = client
        .query(
            "SELECT c.relname || '.' || a.attname, pg_get_expr(d.adbin, d.adrelid)
             FROM pg_attrdef AS d
             JOIN pg_class AS c ON c.oid = d.adrelid
             JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
             WHERE c.relnamespace = current_schema()::regnamespace",
            &[],
        )
        .await
        .unwrap();
    assert!(defaults.len() > 10);
    let columns = defaults.iter().map(|row| (row.get::<_, String>(0), row.get::<_, String>(1)));
    let columns = columns.filter(|(_, text)| called(text).any(|name| volatile.contains(&name)));
    columns.map(|(column, _)| column).collect()
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
