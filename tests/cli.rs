//! The command line as a user sees it: help, exit codes, stdout and stderr.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::support::outside::{PASSWORD, Scratch, assert_says};
use crate::support::{Database, Ran, worker_at};

const COMMANDS: [&str; 12] = [
    "demo",
    "migrate",
    "import",
    "adopt",
    "run",
    "run-once",
    "status",
    "report",
    "requeue",
    "config",
    "check-config",
    "completions",
];

/// One sample for a day that has long ended.
pub const SAMPLE: &str =
    "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
     VALUES (1, 'heart_rate', 60, 'bpm', 'watch', '2024-05-01 10:00Z', '2024-05-01 10:00Z')";

/// Runs the program without a database, as its own user would on a terminal of 80 columns.
fn run(arguments: &[&str]) -> Ran {
    Ran::of(worker_at("").env("COLUMNS", "80").args(arguments).output().unwrap())
}

#[test]
fn the_help_names_every_command_and_every_exit_code() {
    let help = run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    assert_says(&help.stdout, &COMMANDS);
    assert_says(
        &help.stdout,
        &["--config", "DATABASE_URL", "WORKER__", "  0  ", "  1  ", "  2  ", "  3  "],
    );
    assert_says(&run(&["-h"]).stdout, &COMMANDS);
    assert_says(&run(&["--version"]).stdout, &["worker 0."]);
}

#[test]
fn the_help_of_each_command_names_its_flags_and_fits_80_columns() {
    let flags: [(&str, &[&str]); 12] = [
        ("adopt", &["--kind", "--table", "--map", "--metric", "--dry-run", "--undo", "--json"]),
        ("demo", &["--config"]),
        ("migrate", &["--config", "--json"]),
        (
            "import",
            &["--config", "--kind", "profiles", "vitals", "nutrition", "labs", "<FILE>", "--json"],
        ),
        (
            "run-once",
            &[
                "--config",
                "--kind",
                "--max-batches",
                "--time-budget",
                "--max-rows-per-second",
                "--json",
            ],
        ),
        ("run", &["--config"]),
        ("status", &["--config", "--watch", "--json"]),
        ("report", &["--config", "--user", "--from", "--to", "--html", "--json"]),
        ("requeue", &["--dead", "--user", "--from", "--to", "--kind", "--json"]),
        ("completions", &["bash", "zsh", "fish"]),
        ("check-config", &["--config", "--json"]),
        ("config", &["show", "--config", "--quiet", "--verbose"]),
    ];
    for (command, flags) in flags {
        for help in [run(&[command, "--help"]), run(&[command, "-h"]), run(&["help", command])] {
            assert_eq!((help.code, help.stderr.as_str()), (0, ""));
            assert_says(&help.stdout, flags);
            assert_narrow(&help.stdout);
        }
    }
    assert_narrow(&run(&["--help"]).stdout);
}

#[track_caller]
pub fn assert_narrow(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "wider than 80 columns: {line}");
    }
}

#[test]
fn wrong_usage_exits_with_2_and_says_why_on_stderr() {
    let wrong: [(&[&str], &str); 15] = [
        (&["adopt", "--table", "app.readings"], "--kind <KIND>"),
        (&["adopt", "--table", "t", "--kind", "vitals", "--map", "value"], "is no pair"),
        (&["adopt", "--undo", "--table", "t", "--kind", "vitals"], "cannot be used with"),
        (&[], "Usage: worker"),
        (&["frobnicate"], "unrecognized subcommand"),
        (&["statsu"], "status"),
        (&["--jsn"], "unexpected argument '--jsn'"),
        (&["status", "--jsno"], "--json"),
        (&["status", "extra"], "unexpected argument 'extra'"),
        (&["run-once", "--kind", "sleep"], "the kinds are vitals, nutrition and labs"),
        (&["run-once", "--max-batches", "0"], "--max-batches"),
        (&["run-once", "--time-budget", "-1"], "a number of seconds above 0 is needed"),
        (&["run-once", "--time-budget", "NaN"], "a number of seconds above 0 is needed"),
        (&["import", "--time-zone", "Mars", "export.xml"], "nor an offset such as +05:30"),
        (&["import", "--kind", "vitals"], "<FILE>"),
    ];
    for (arguments, why) in wrong {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {ran:?}");
        assert_says(&ran.stderr, &[why]);
    }
}

#[test]
fn an_error_shows_the_usage_of_its_own_command() {
    let days = ["--from", "2024-05-02", "--to", "2024-05-01"];
    for (arguments, usage) in [
        ([&["requeue"][..], &days].concat(), "Usage: worker requeue"),
        ([&["verify"][..], &days].concat(), "Usage: worker verify"),
        ([&["backfill"][..], &days].concat(), "Usage: worker backfill"),
        (vec!["-q", "status", "-v"], "Usage: worker status"),
        (vec!["requeue"], "Usage: worker requeue"),
        (vec!["requeue", "--dead", "--yes", "--dry-run"], "Usage: worker requeue"),
        (vec!["verify", "--yes"], "Usage: worker verify"),
        (vec!["config", "show", "moon"], "Usage: worker config show"),
    ] {
        let ran = run(&arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {ran:?}");
        assert_says(&ran.stderr, &["error: ", usage]);
    }
}

#[test]
fn the_help_lists_a_commands_own_options_before_those_of_every_command() {
    for command in ["requeue", "verify", "import", "run-once", "status", "report"] {
        let help = run(&[command, "--help"]).stdout;
        let place = |text: &str| help.find(text).unwrap_or_else(|| panic!("no {text}: {help}"));
        assert!(place("--json") < place("Options of every command:"), "{help}");
        assert!(place("Options of every command:") < place("--config"), "{help}");
    }
}

#[test]
fn advice_names_the_place_that_the_url_comes_from() {
    let scratch = Scratch::new();
    let url = "postgresql://me@127.0.0.1:1/app";
    let file =
        scratch.file("own.toml", format!("[pool]\nmax_size = 3\n\n[database]\nurl = \"{url}\"\n"));
    let file = file.to_str().unwrap();
    scratch.file("database-url", url);
    let credentials = scratch.path().to_str().unwrap();
    for (arguments, variable, place) in [
        (vec!["--config", file], None, format!("correct the host in {file} line 5")),
        (vec![], Some(("DATABASE_URL", url)), "correct the host in DATABASE_URL".to_owned()),
        (
            vec![],
            Some(("WORKER__DATABASE__URL", url)),
            "correct the host in WORKER__DATABASE__URL".to_owned(),
        ),
        (
            vec![],
            Some(("CREDENTIALS_DIRECTORY", credentials)),
            "correct the host in the credential database-url".to_owned(),
        ),
    ] {
        let mut worker = worker_at("");
        worker.env_remove("DATABASE_URL").args(arguments).arg("status").envs(variable);
        let ran = Ran::of(worker.output().unwrap());
        assert_eq!(ran.code, 1, "{ran:?}");
        assert_says(&ran.stderr, &[&place]);
    }
}

#[tokio::test]
async fn run_once_prints_one_json_object_on_stdout_and_logs_json_lines_on_stderr() {
    let db = Database::new().await;
    db.execute(SAMPLE).await;

    let ran = db.run(&["run-once", "--json"]);

    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 1), "{ran:?}");
    let counts = [
        ("batches", 1),
        ("rows_claimed", 1),
        ("rows_completed", 1),
        ("rows_rejected", 0),
        ("rows_failed", 0),
        ("groups_committed", 1),
        ("groups_failed", 0),
        ("pending_after", 0),
    ];
    for (field, value) in counts {
        assert_eq!(ran.json()[field], value, "{field}");
    }
    assert!(ran.json()["duration_ms"].is_number());

    for line in ran.stderr.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(event["event"].is_string() && event["level"].is_string(), "{line}");
    }
    assert_eq!(ran.events("run_done").len(), 1);
    let pool = ["in_use", "idle", "open", "max", "waiting", "utilisation", "health"];
    for name in ["batch_claimed", "batch_done"] {
        let events = ran.events(name);
        assert_eq!(events.len(), 1, "{name}");
        for field in pool {
            assert!(!events[0][format!("pool.{field}")].is_null(), "{name}: pool.{field}");
        }
    }
}

#[tokio::test]
async fn run_once_says_in_a_sentence_what_it_did() {
    let db = Database::new().await;
    assert_eq!(db.run(&["run-once"]).stdout, "Nothing was due. Nothing is pending.\n");

    db.execute(SAMPLE).await;
    let ran = db.run(&["run-once", "--kind", "vitals", "--kind", "vitals", "--kind", "labs"]);
    assert_eq!(ran.code, 0);
    assert_says(
        &ran.stdout,
        &["1 row in 1 batch", "1 completed", "1 group committed", "Nothing is pending."],
    );

    db.execute(SAMPLE).await;
    let other_kind = db.run(&["run-once", "--kind", "nutrition", "--json"]);
    assert_eq!(other_kind.json()["rows_claimed"], 0);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM aggregation_queue").await, 1);
}

#[tokio::test]
async fn the_log_is_text_or_quiet_if_the_configuration_says_so() {
    let db = Database::new().await;
    db.execute(SAMPLE).await;
    let text = db.worker().arg("run-once").env("WORKER__LOG__FORMAT", "text").output().unwrap();
    assert_says(&Ran::of(text).stderr, &["INFO", "event=\"batch_done\""]);

    db.execute(SAMPLE).await;
    let quiet = db.worker().arg("run-once").env("WORKER__LOG__LEVEL", "warn").output().unwrap();
    assert_eq!(Ran::of(quiet).stderr, "");
}

#[test]
fn check_config_shows_each_value_and_its_layer_but_no_secret() {
    let scratch = Scratch::new();
    let file = scratch.file("own.toml", "[pool]\nmax_size = 7\nmin_idle = 2\n");
    let url = format!("postgresql://me:{PASSWORD}@db.example/app");
    let mut command = worker_at(&url);
    command.arg("check-config").arg("--config").arg(&file).env("WORKER__POOL__MIN_IDLE", "3");

    let text = Ran::of(command.output().unwrap());
    assert_eq!((text.code, text.stderr.as_str()), (0, ""), "{text:?}");
    let line = |key: &str| {
        let line = text.stdout.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    let own = file.display();
    assert_eq!(line("batch.size"), "batch.size 100 default");
    assert_eq!(line("pool.max_size"), format!("pool.max_size 7 {own}:2"));
    assert_eq!(line("pool.min_idle"), "pool.min_idle 3 WORKER__POOL__MIN_IDLE");
    assert_eq!(line("database.url"), "database.url (set) DATABASE_URL");
    assert!(text.stdout.ends_with("The configuration is valid.\n"));

    let json = Ran::of(command.arg("--json").output().unwrap());
    assert_eq!((json.code, json.stdout.lines().count()), (0, 1));
    let entries = json.json()["entries"].as_array().unwrap().clone();
    let entry = entries.iter().find(|entry| entry["key"] == "pool.max_size").unwrap();
    assert_eq!((&entry["value"], &entry["origin"]), (&"7".into(), &own.to_string().into()));
    assert!(!format!("{text:?}{json:?}").contains(PASSWORD));
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let db = Database::new().await;
    db.execute(SAMPLE).await;
    let commands: [&[&str]; 7] = [
        &["--help"],
        &["check-config"],
        &["migrate"],
        &["status"],
        &["status", "--json"],
        &["run-once"],
        &["run-once", "--json"],
    ];
    for arguments in commands {
        let mut child = db.start(arguments);
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panic"), "{arguments:?}: {stderr}");
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_any_more_does_not_stop_the_work() {
    let db = Database::new().await;
    db.execute(SAMPLE).await;
    let mut command = db.worker();
    command.args(["run-once", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stderr.take());

    let ran = Ran::of(child.wait_with_output().unwrap());

    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["rows_completed"], 1);
}
