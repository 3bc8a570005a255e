//! Errors of usage: each exits with a message and the usage of the running command.

use std::sync::OnceLock;

use chrono::NaiveDate;
use clap::CommandFactory;
use clap::error::ErrorKind;

use super::Cli;

/// The names of the running command, for the usage in error messages.
pub(super) static RUNNING: OnceLock<Vec<String>> = OnceLock::new();

/// Exits with an error and the usage of the running command.
pub(super) fn wrong_usage(kind: ErrorKind, problem: &str) -> ! {
    let mut command = Cli::command();
    // After this, commands know their full names.
    command.build();
    error_of(&mut command, RUNNING.get().map_or(&[], Vec::as_slice), kind, problem).exit()
}

fn error_of(
    command: &mut clap::Command,
    names: &[String],
    kind: ErrorKind,
    problem: &str,
) -> clap::Error {
    match names.split_first() {
        Some((name, below)) if command.find_subcommand(name).is_some() => command
            .find_subcommand_mut(name)
            .map_or_else(|| clap::Error::new(kind), |of| error_of(of, below, kind, problem)),
        _ => command.error(kind, problem),
    }
}

/// Exits with an error if the first date is later than the last.
pub fn require_order(from: NaiveDate, to: NaiveDate) {
    if from > to {
        let problem = format!("--from {from} is later than --to {to}; exchange them");
        wrong_usage(ErrorKind::ValueValidation, &problem);
    }
}

/// Exits with an error if a range has more than `most` days.
pub fn require_range(from: NaiveDate, to: NaiveDate, most: i64) {
    let days = (to - from).num_days() + 1;
    if days > most {
        let problem =
            format!("--from {from} to --to {to} is {days} days; a page has at most {most}");
        wrong_usage(ErrorKind::ValueValidation, &problem);
    }
}

/// Exits with an error about a name that is no key of the configuration.
pub fn refuse_key(problem: &str) -> ! {
    wrong_usage(ErrorKind::InvalidValue, problem)
}

/// Exits with an error about the value of a flag.
pub fn refuse_value(problem: &str) -> ! {
    wrong_usage(ErrorKind::InvalidValue, problem)
}

/// Exits with an error about a user id that is none in the database.
pub fn refuse_user(problem: &str) -> ! {
    wrong_usage(ErrorKind::ValueValidation, problem)
}

/// Exits with an error if both a page and JSON are to go to stdout.
pub fn require_stdout_for_one(page: bool, json: bool) {
    if page && json {
        let problem = "--html - and --json both go to stdout; give the page a file";
        wrong_usage(ErrorKind::ArgumentConflict, problem);
    }
}
