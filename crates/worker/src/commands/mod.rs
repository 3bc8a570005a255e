//! The commands, one module each.

mod adopt;
mod alerts;
mod backfill;
mod catalogue;
mod changes;
mod check_config;
mod command_line;
mod config;
mod demo;
mod doctor;
mod freeze;
mod import;
mod migrate;
mod page;
mod pause;
mod report;
mod requeue;
mod run_once;
mod status;
mod targets;
mod users;
mod verify;

use crate::cli::{Cli, Command};
use crate::exit::Exit;
use crate::{service, setup, target};
use targets::Choice;

/// Runs the requested command.
///
/// # Errors
/// The reason why it failed.
pub async fn execute(cli: Cli) -> anyhow::Result<Exit> {
    match targets::choose(&cli).await? {
        Choice::NoTarget => execute_one(cli).await,
        Choice::One(name) => target::within(name, execute_one(cli)).await,
        Choice::Several(names) if matches!(cli.command, Command::Run) => {
            let config = cli.config.as_deref();
            let only = if cli.targets.is_empty() { Vec::new() } else { names };
            let loaded = setup::configuration(config)?;
            service::run_targets(config, loaded, only, page::router_of_targets).await
        }
        Choice::Several(names) => targets::execute(&cli, names).await,
    }
}

/// Runs the requested command on one database.
async fn execute_one(cli: Cli) -> anyhow::Result<Exit> {
    let config = cli.config.as_deref();
    match cli.command {
        Command::Demo(arguments) => demo::execute(config, &arguments).await,
        Command::Migrate(arguments) => migrate::execute(config, &arguments).await,
        Command::Import(arguments) => import::execute(config, &arguments).await,
        Command::Adopt(arguments) => adopt::execute(config, arguments).await,
        Command::Run => service::run(config, setup::configuration(config)?, page::router).await,
        Command::RunOnce(arguments) => run_once::execute(config, arguments).await,
        Command::Status(arguments) => status::execute(config, &arguments).await,
        Command::Requeue(arguments) => requeue::execute(config, arguments).await,
        Command::Pause(arguments) => pause::execute(config, &arguments, true).await,
        Command::Resume(arguments) => pause::execute(config, &arguments, false).await,
        Command::Freeze(arguments) => freeze::execute(config, &arguments).await,
        Command::Backfill(arguments) => backfill::execute(config, arguments).await,
        Command::Verify(arguments) => verify::execute(config, arguments).await,
        Command::Changes(arguments) => changes::execute(config, &arguments).await,
        Command::Report(arguments) => report::execute(config, &arguments).await,
        Command::Catalogue(arguments) => catalogue::execute(config, arguments.json),
        Command::Config { command } => config::execute(config, &command),
        Command::CheckConfig(arguments) => check_config::execute(config, arguments.json),
        Command::Doctor(arguments) => doctor::execute(config, arguments.json).await,
        Command::Alerts { command } => alerts::execute(config, &command).await,
        Command::Completions { shell } => Ok(command_line::complete(shell)),
        Command::ManPages { folder } => command_line::describe(&folder),
    }
}
