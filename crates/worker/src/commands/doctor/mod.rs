//! `worker doctor`: checks whether the worker can work here, from the configuration to the clocks.

mod database;
mod network;

use std::path::Path;

use alerts::channel::Channel;
use serde_json::{Value, json};
use store::{Store, StoreError};

use crate::config::Config;
use crate::exit::{self, Exit};
use crate::settings::Settings;
use crate::{output, setup};

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The check found no problem.
    Fine,
    /// This role cannot run the check; no problem is known.
    Untried,
    /// The worker works, but an operator should look at the finding.
    Doubtful,
    /// The worker cannot work.
    Wrong,
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Untried => "untried",
            Self::Doubtful => "warning",
            Self::Wrong => "error",
        }
    }
}

/// One check: its subject, the finding, and the advice.
#[derive(Clone, Debug)]
struct Check {
    name: &'static str,
    outcome: Outcome,
    found: String,
    advice: Option<String>,
}

impl Check {
    fn fine(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Fine, found: found.into(), advice: None }
    }

    fn untried(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Untried, found: found.into(), advice: None }
    }

    fn doubtful(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { name, outcome: Outcome::Doubtful, found: found.into(), advice }
    }

    fn wrong(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { name, outcome: Outcome::Wrong, found: found.into(), advice }
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "outcome": self.outcome.name(),
            "found": self.found,
            "advice": self.advice,
        })
    }
}

/// The checks so far. Each is printed as soon as it is done, because the next one may take long.
struct Checkup {
    as_json: bool,
    checks: Vec<Check>,
}

impl Checkup {
    fn add(&mut self, check: Check) {
        if !self.as_json {
            output::print(&format!(
                "{:<8} {:<13} {}",
                check.outcome.name(),
                check.name,
                check.found
            ));
        }
        self.checks.push(check);
    }

    fn is(&self, outcome: Outcome) -> usize {
        self.checks.iter().filter(|check| check.outcome == outcome).count()
    }

    /// The conclusion and the advice.
    fn verdict(&self) -> String {
        let mut text = match (self.is(Outcome::Wrong), self.is(Outcome::Doubtful)) {
            (0, 0) => "\nThe worker can work here.".to_owned(),
            (0, _) => "\nThe worker can work here. Recommended changes:".to_owned(),
            _ => "\nThe worker cannot work here. Required changes:".to_owned(),
        };
        let advised = self.checks.iter().filter_map(|check| Some((check, check.advice.as_ref()?)));
        for (check, advice) in advised {
            text.push_str(&format!("\n- {}: {advice}", check.name));
        }
        text
    }

    fn to_json(&self) -> Value {
        json!({
            "ok": self.is(Outcome::Wrong) == 0,
            "checks": self.checks.iter().map(Check::to_json).collect::<Vec<_>>(),
        })
    }
}

/// Checks everything that the worker needs. It changes nothing: tests are rolled back.
///
/// # Errors
/// If the configuration is invalid. Other problems are findings, not errors.
pub async fn execute(file: Option<&Path>, as_json: bool) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(file)?;
    let mut checkup = Checkup { as_json, checks: Vec::new() };
    let mut config = loaded.config;
    // One connection is enough for the checks.
    config.pool.min_idle = 0;
    examine(&config, &mut checkup).await;
    if as_json {
        output::print_json(&checkup.to_json());
    } else {
        output::print(&checkup.verdict());
    }
    let can_work = checkup.is(Outcome::Wrong) == 0;
    Ok(if can_work { exit::DONE } else { exit::COULD_NOT })
}

/// The checks of the database on the page's connection, as JSON. That connection has time-outs and a
/// budget of its own, so the checks of both are left out.
///
/// # Errors
/// If the database fails.
pub async fn on_page(config: &Config, store: &Store) -> Result<Vec<Value>, StoreError> {
    let mut checkup = Checkup { as_json: true, checks: Vec::new() };
    match setup::connection_plan(config) {
        Ok(plan) => database::examine(config, &plan, store, &mut checkup).await?,
        Err(error) => checkup.add(Check::wrong("configuration", error.to_string(), "correct it")),
    }
    let is_shown = |check: &&Check| !["time-outs", "budget"].contains(&check.name);
    Ok(checkup.checks.iter().filter(is_shown).map(Check::to_json).collect())
}

/// Runs the checks in order; each depends on the earlier ones.
async fn examine(config: &Config, checkup: &mut Checkup) {
    let settings = Settings::from_config(config).map_err(|error| format!("{error:#}"));
    let usable =
        settings.and_then(|_| setup::connection_plan(config).map_err(|error| error.to_string()));
    let plan = match usable {
        Ok(plan) => plan,
        Err(problem) => {
            let advice = "correct it; `worker check-config` shows where each value comes from";
            checkup.add(Check::wrong("configuration", problem, advice));
            return;
        }
    };
    checkup.add(Check::fine("configuration", "it can be read, and names a database"));
    let addresses: Vec<String> = Channel::all(&config.mail, &config.webhook)
        .iter()
        .map(|channel| format!("{} to {}", channel.name(), channel.address()))
        .collect();
    if !addresses.is_empty() {
        let addresses = addresses.join(", ");
        checkup
            .add(Check::fine("alerts", format!("by {addresses}: `worker alerts test` tries it")));
    }
    if !network::is_open(&plan.endpoints, config, checkup).await {
        return;
    }
    let Some(store) = network::log_in(config, checkup).await else { return };
    if let Err(error) = database::examine(config, &plan, &store, checkup).await {
        let advice = "see the server's log; then run `worker doctor` again";
        checkup.add(Check::wrong("database", error.to_string(), advice));
    }
}
