//! Configurations that cannot be used: each gives one clear line and no more.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::support::outside::{
    NOBODY, PASSWORD, Scratch, assert_says, refused, refused_for, we_are_root, worker_for_everybody,
};
use crate::support::worker_at;

/// A URL with a password, to be searched for in what the program says.
fn url() -> String {
    format!("postgresql://me:{PASSWORD}@db.invalid/app")
}

/// Every command that reads the configuration. The mistakes here are found before a database is
/// needed.
fn commands(scratch: &Scratch) -> Vec<Command> {
    let csv = scratch.file("rows.csv", "user_id,metric,value,started_at\n");
    let csv = csv.to_str().unwrap();
    let commands: [&[&str]; 7] = [
        &["check-config"],
        &["check-config", "--json"],
        &["migrate"],
        &["status", "--json"],
        &["run-once"],
        &["import", "--kind", "vitals", csv],
        &["demo"],
    ];
    let command = |arguments: &&[&str]| {
        let mut command = worker_at(&url());
        command.args(*arguments);
        command
    };
    commands.iter().map(command).collect()
}

#[test]
fn a_mistake_in_a_file_is_named_with_its_place_and_what_would_be_right() {
    let scratch = Scratch::new();
    let mistakes: [(&str, &[&str]); 12] = [
        (
            "[pool]\nmax_sise = 3\n",
            &["unknown key pool.max_sise", "line 2", "did you mean pool.max_size?"],
        ),
        ("[pol]\nmax_size = 3\n", &["unknown section [pol]", "line 1", "did you mean [pool]?"]),
        ("max_size = 3\n", &["max_size", "line 1"]),
        (
            "[pool]\nmax_size = \"3\"\n",
            &["pool.max_size", "line 2", "must be an integer, not a string"],
        ),
        ("[session]\njit = 1\n", &["session.jit", "must be true or false, not an integer"]),
        ("[pool]\nmax_size = 0\n", &["pool.max_size = 0", "line 2", "between 1 and 100"]),
        ("[batch]\nsize = 201\n", &["batch.size = 201", "between 50 and 200"]),
        (
            "[batch]\nlease_seconds = 20\n",
            &["batch.lease_seconds = 20.0", "more than session.statement_timeout"],
        ),
        ("[log]\nformat = \"xml\"\n", &["log.format", "must be auto, text, json or journald"]),
        ("[log]\nlevel = \"loud\"\n", &["log.level", "error, warn, info, debug, trace"]),
        ("[pool\nmax_size = 3\n", &["line 1", "is not TOML"]),
        ("[database]\nurl = postgresql://me:hunter2geheim@db/app\n", &["line 2", "is not TOML"]),
    ];
    for (content, says) in mistakes {
        let file = scratch.file("own.toml", content);
        let why = refused(worker_at(&url()).arg("check-config").arg("--config").arg(&file));
        assert_says(&why, says);
    }
}

#[test]
fn every_command_refuses_a_bad_configuration_in_the_same_words() {
    let scratch = Scratch::new();
    let file = scratch.file("own.toml", format!("[database]\nulr = \"{}\"\n", url()));
    let said: Vec<String> = commands(&scratch)
        .iter_mut()
        .map(|command| refused(command.arg("--config").arg(&file)))
        .collect();
    assert_says(&said[0], &["unknown key database.ulr", "did you mean database.url?"]);
    assert!(said.iter().all(|why| *why == said[0]), "{said:#?}");
}

#[test]
fn a_bad_log_level_is_refused_by_every_command_rather_than_silencing_the_log() {
    let scratch = Scratch::new();
    for mut command in commands(&scratch) {
        let why = refused(command.env("WORKER__LOG__LEVEL", "inof"));
        assert_says(&why, &["log.level", "info"]);
    }
}

#[test]
fn a_mistake_in_a_variable_is_named_with_the_variable() {
    let mistakes: [(&str, &str, &[&str]); 8] = [
        (
            "WORKER__POOL__MAX_SISE",
            "3",
            &["unknown variable WORKER__POOL__MAX_SISE", "WORKER__POOL__MAX_SIZE"],
        ),
        (
            "WORKER__POOL__MAX_SIZE",
            "three",
            &["pool.max_size", "WORKER__POOL__MAX_SIZE", "must be an integer"],
        ),
        ("WORKER__POOL__MAX_SIZE", "", &["pool.max_size", "must be an integer, not empty"]),
        ("WORKER__POOL__MAX_SIZE", "101", &["pool.max_size = 101", "between 1 and 100"]),
        ("WORKER__LOG__LEVEL", "loud", &["log.level"]),
        ("WORKER__LOG__LEVEL", "store=loud", &["log.level"]),
        ("WORKER__LOG__LEVEL", PASSWORD, &["log.level"]),
        ("WORKER__SESSION__APPLICATION_NAME", "gr\u{fc}n", &["session.application_name", "ASCII"]),
    ];
    for (name, value, says) in mistakes {
        let why = refused(worker_at(&url()).arg("check-config").env(name, value));
        assert_says(&why, says);
    }
}

#[test]
fn a_zone_that_does_not_exist_is_refused_before_anything_is_computed() {
    for name in ["check-config", "run-once"] {
        for zone in ["Europe/Berlun", PASSWORD, "+25:00"] {
            let mut command = worker_at(&url());
            command.arg(name).env("WORKER__AGGREGATION__DEFAULT_TIME_ZONE", zone);
            assert_says(
                &refused(&mut command),
                &["aggregation.default_time_zone", "Europe/Berlin"],
            );
        }
    }
}

#[test]
fn several_mistakes_are_all_told_at_once_in_a_line_each() {
    let scratch = Scratch::new();
    let file = scratch.file("own.toml", "[pool]\nmax_size = 0\nmin_idel = 1\n");
    let mut command = worker_at(&url());
    command.arg("check-config").arg("--config").arg(&file).env("WORKER__BATCH__SIZE", "1");
    let told = refused_for(&mut command).join("\n");
    assert_says(&told, &["pool.max_size", "pool.min_idel", "batch.size"]);
    assert_eq!(told.lines().count(), 3, "{told}");
}

#[test]
fn a_file_that_is_missing_or_none_is_named() {
    let scratch = Scratch::new();
    let check = |path: &str| refused(worker_at(&url()).args(["check-config", "--config", path]));
    assert_says(
        &check("/nowhere/own.toml"),
        &["cannot read /nowhere/own.toml", "No such file", "--config"],
    );
    assert_says(&check("/tmp"), &["cannot read /tmp", "directory", "--config"]);
    let bytes = scratch.file("bytes.toml", b"[pool]\n\xff\xfe\n");
    assert_says(&check(bytes.to_str().unwrap()), &["bytes.toml line 2 is not UTF-8"]);
    assert_says(&check("/dev/zero"), &["/dev/zero", "no configuration"]);
    assert_says(&check(&url()), &["--config", "DATABASE_URL"]);
}

#[test]
fn a_file_that_may_not_be_read_is_named() {
    let scratch = Scratch::new();
    let file = scratch.file("secret.toml", format!("[database]\nurl = \"{}\"\n", url()));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = if we_are_root() {
        let mut command = Command::new(worker_for_everybody(&scratch));
        command.uid(NOBODY).gid(NOBODY).env_clear();
        command
    } else {
        worker_at("")
    };
    let why = refused(command.arg("check-config").arg("--config").arg(&file));
    assert_says(&why, &["cannot read", "secret.toml", "Permission denied"]);
}
