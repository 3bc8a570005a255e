//! The worker: folds raw vitals, nutrition and lab rows into daily figures.

mod changes;
mod cli;
mod commands;
mod config;
mod confirm;
mod day_ends;
mod exit;
mod failure;
mod heartbeat;
mod import;
mod logging;
mod metrics;
mod output;
mod progress;
mod run;
mod run_record;
mod service;
mod settings;
mod setup;
mod stop;
mod tables;
mod target;
mod terminal;
mod throttle;
mod user_ids;
mod verbosity;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::read();
    verbosity::ask(cli.verbosity());
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(&anyhow::Error::new(error).context("cannot start"));
            return exit::COULD_NOT.into();
        }
    };
    let exit = runtime.block_on(commands::execute(cli)).unwrap_or_else(|error| {
        output::complain(&error);
        exit::COULD_NOT
    });
    // Do not wait for running tasks: a lookup of a host's name may take a minute.
    runtime.shutdown_background();
    exit.into()
}
