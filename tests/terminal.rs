//! The output on a terminal, and the different output in a pipe.

use std::process::Command;

use crate::support::outside::{PASSWORD, Scratch, assert_says};
use crate::support::terminal::at_terminal;
use crate::support::{Database, Ran, worker_at};

/// The character that begins each colour and each other command to a terminal.
const ESCAPE: char = '\u{1b}';

/// The beginning of a colour that is not "none".
const COLOUR: &str = "\u{1b}[3";

const ROWS: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT 1, 'heart_rate', 60, 'bpm', 'watch', at, at
    FROM generate_series(timestamptz '2024-05-01 00:00Z', '2024-05-03 00:00Z', '1 hour') AS at";

fn run(arguments: &[&str]) -> Ran {
    Ran::of(worker_at("").args(arguments).output().unwrap())
}

/// The lines of a table alone, without the text below.
#[track_caller]
fn assert_fits(text: &str, columns: usize) {
    for line in text.lines() {
        assert!(line.chars().count() <= columns, "wider than {columns}: {line}");
    }
}

#[tokio::test]
async fn the_log_is_coloured_at_a_terminal_only_and_not_if_somebody_minds() {
    let db = Database::new().await;
    let mut shown = Vec::new();
    for (name, value) in [("LANG", "C"), ("NO_COLOR", "1"), ("NO_COLOR", ""), ("TERM", "dumb")] {
        db.execute(ROWS).await;
        let mut command = db.worker();
        let (code, text) = at_terminal(command.arg("run-once").env(name, value), 200);
        assert_eq!(code, 0, "{text}");
        assert_says(&text, &["INFO", "batch_done", "49 rows in 1 batch"]);
        shown.push(text);
    }
    let [plain, no_color, empty, dumb] = shown.try_into().unwrap();
    assert!(plain.contains(COLOUR) && empty.contains(COLOUR), "{plain}");
    assert!(!no_color.contains(COLOUR), "{no_color:?}");
    assert!(!dumb.contains(ESCAPE), "{dumb:?}");

    let (_, help) = at_terminal(worker_at("").arg("--help").env("NO_COLOR", "1"), 80);
    assert!(!help.contains(ESCAPE), "{help:?}");
}

#[tokio::test]
async fn progress_with_rate_and_time_left_is_shown_at_a_terminal_and_nowhere_else() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    let header = "user_id,metric,value,unit,source,started_at\n";
    let line = "1,heart_rate,60,bpm,watch,2024-05-01T10:00:00Z\n";
    let file = scratch.file("rows.csv", header.to_owned() + &line.repeat(20));
    let file = file.to_str().unwrap();
    let commands: [(&[&str], &str); 4] = [
        (&["import", "--kind", "vitals", file], "importing"),
        (&["run-once"], "rows"),
        (&["backfill", "--from", "2024-05-01", "--to", "2024-05-01"], "raw rows"),
        (&["verify"], "raw rows"),
    ];
    for (arguments, what) in commands {
        let mut command = db.worker();
        let (code, text) = at_terminal(command.args(arguments), 100);
        assert_eq!(code, 0, "{text}");
        assert_says(&text, &[what, "/s)", " left"]);

        let mut command = db.worker();
        let (_, text) = at_terminal(command.args(arguments).env("TERM", "dumb"), 100);
        assert!(!text.contains("/s)"), "{text}");
        let piped = db.run(arguments);
        assert_eq!(piped.code, 0);
        assert!(!piped.stderr.contains("/s)") && !piped.stderr.contains(ESCAPE), "{piped:?}");
        // The next command has something to do.
        db.run(&["import", "--kind", "vitals", file]);
    }
}

#[tokio::test]
async fn tables_fit_the_width_of_the_terminal_and_keep_their_numbers() {
    let db = Database::new().await;
    db.execute(ROWS).await;
    db.run_once();
    db.execute(ROWS).await;
    for columns in [60, 80, 100] {
        let (code, text) = at_terminal(db.worker().arg("status"), columns);
        assert_eq!(code, 0, "{text}");
        let tables = text.split("\nOwn pool").next().unwrap();
        let tables: Vec<&str> = tables.lines().filter(|line| !line.ends_with('.')).collect();
        assert_fits(&tables.join("\n"), columns.into());
        assert_says(&text, &["vitals", "49"]);
    }
    let (_, text) = at_terminal(worker_at("").args(["config", "show"]), 60);
    assert_fits(&text, 60);
    assert_says(&text, &["database.url", "(not set)"]);
}

#[tokio::test]
async fn quiet_leaves_errors_and_what_was_asked_for() {
    let db = Database::new().await;
    let silent: [&[&str]; 5] = [
        &["migrate", "--quiet"],
        &["-q", "run-once"],
        &["requeue", "--user", "1", "-q"],
        &["backfill", "--from", "2024-05-01", "--to", "2024-05-02", "--quiet"],
        &["verify", "--quiet"],
    ];
    for arguments in silent {
        db.execute(ROWS).await;
        db.run(&["run-once"]);
        let (code, text) = at_terminal(db.worker().args(arguments), 80);
        assert_eq!((code, text.as_str()), (0, ""), "{arguments:?}");
    }
    assert_eq!(db.run(&["run-once", "--json", "-q"]).json()["pending_after"], 0);
    assert_says(&db.run(&["status", "--quiet"]).stdout, &["Nothing is due."]);

    db.execute("UPDATE vitals_daily SET sample_count = sample_count + 1").await;
    let drift = db.run(&["verify", "--quiet"]);
    assert_eq!((drift.code, drift.stderr.as_str()), (4, ""));
    assert_says(&drift.stdout, &["vitals_daily"]);
    let scratch = Scratch::new();
    let file = scratch.file("bad.csv", "user_id,metric,value,unit,started_at\n1,steps,x,1,2024\n");
    let bad = db.run(&["import", "-q", "--kind", "vitals", file.to_str().unwrap()]);
    assert_eq!(bad.code, 3);
    assert_says(&bad.stderr, &["bad.csv, line 2"]);
}

#[tokio::test]
async fn verbose_logs_more_whatever_the_configuration_says() {
    let db = Database::new().await;
    db.execute(ROWS).await;
    let level = |arguments: &[&str]| {
        let mut command: Command = db.worker();
        command.args(arguments).env("WORKER__LOG__LEVEL", "warn").env("RUST_LOG", "off");
        Ran::of(command.output().unwrap())
    };
    assert_eq!(level(&["run-once"]).stderr, "");
    db.execute(ROWS).await;
    let verbose = level(&["run-once", "-v"]);
    assert_says(&verbose.stderr, &["\"level\":\"DEBUG\"", "batch_done"]);
    for (flags, shown) in
        [(&["-q"][..], "error --quiet"), (&["--verbose"], "debug -v"), (&["-vv"], "trace -vv")]
    {
        let shows = run(&[&["config", "show", "log.level"], flags].concat());
        let row = shows.stdout.lines().last().unwrap();
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(words.join(" "), format!("log.level {shown}"));
    }
    let both = run(&["-v", "status", "--quiet"]);
    assert_eq!(both.code, 2);
    assert_says(&both.stderr, &["--quiet and --verbose exclude each other"]);
}

#[test]
fn config_show_tells_the_value_of_each_key_and_where_it_comes_from() {
    let scratch = Scratch::new();
    let file = scratch.file("own.toml", "# Mine.\n[pool]\nprofile = \"burst\"\nmin_idle = 1\n");
    let url = format!("postgresql://me:{PASSWORD}@db.example/app");
    let show = |arguments: &[&str]| {
        let mut command = worker_at(&url);
        command.args(["config", "show", "--config"]).arg(&file).args(arguments);
        Ran::of(command.env("WORKER__BATCH__SIZE", "120").output().unwrap())
    };
    let all = show(&[]);
    assert_eq!((all.code, all.stderr.as_str()), (0, ""), "{all:?}");
    let json = show(&["--json"]).json();
    let entries = json["entries"].as_array().unwrap();
    assert_eq!(all.stdout.lines().count(), entries.len() + 2, "a head, a line, and every key");
    let entry = |key: &str| {
        let entry = entries.iter().find(|entry| entry["key"] == key).unwrap();
        let text = |field: &str| entry[field].as_str().unwrap().to_owned();
        (text("value"), text("origin"), entry["line"].as_u64())
    };
    let own = file.display().to_string();
    assert_eq!(entry("pool.min_idle"), ("1".to_owned(), own.clone(), Some(4)));
    assert_eq!(entry("pool.max_size").1, "profile burst");
    assert_eq!(entry("batch.size").1, "WORKER__BATCH__SIZE");
    assert_eq!(entry("log.format").1, "default");
    assert_eq!(entry("database.url").0, "(set)");
    assert_says(&all.stdout, &[&format!("{own}:4")]);
    assert!(!format!("{all:?}{json}").contains(PASSWORD));

    let some = show(&["pool", "batch.size"]).stdout;
    let keys: Vec<&str> = some.lines().skip(2).filter_map(|line| line.split(' ').next()).collect();
    assert!(keys.contains(&"pool.max_size") && keys.contains(&"batch.size"), "{keys:?}");
    assert!(keys.iter().all(|key| key.starts_with("pool.") || *key == "batch.size"), "{keys:?}");
}

#[test]
fn a_key_that_there_is_not_is_answered_with_the_nearest_one() {
    for (name, near) in [
        ("pool.max_sise", "did you mean pool.max_size?"),
        ("pol", "did you mean pool?"),
        ("batch.max_connections_of_all", "`worker config show` lists all of them"),
    ] {
        let ran = run(&["config", "show", name]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert_says(&ran.stderr, &[name, near]);
    }
}
