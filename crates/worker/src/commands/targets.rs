//! Commands on several targets: a process for each target, some at a time, and one summary.
//!
//! A process of its own keeps output, time-outs and memory of each target apart. It is the same command
//! with `--target NAME`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{self, Cli, Command, TargetUse};
use crate::config::{Loaded, LogFormat, Target};
use crate::exit::{self, Exit};
use crate::stop::Stop;
use crate::tables::counted;
use crate::{confirm, output, progress, setup};

mod status;

use status::TargetCounts;

/// Targets at a time. Each has a pool of its own, so more would need many connections of one server.
const AT_A_TIME: usize = 4;

/// Targets in trouble that the summary names.
const NAMED: usize = 10;

/// The targets on which a command works.
pub enum Choice {
    /// The only database, or the command needs none.
    NoTarget,
    /// One target, by name.
    One(Arc<str>),
    /// Several targets.
    Several(Vec<String>),
}

/// Finds out on which targets a command works. Wrong names are wrong usage.
///
/// # Errors
/// If the list of targets cannot be read.
pub async fn choose(cli: &Cli) -> anyhow::Result<Choice> {
    let use_of = cli.command.target_use();
    if matches!(use_of, TargetUse::None | TargetUse::OneIfNamed) && cli.targets.is_empty() {
        return Ok(Choice::NoTarget);
    }
    if use_of == TargetUse::None {
        cli::refuse_value("this command does not work on targets; leave --target out");
    }
    // The command itself reports an invalid configuration.
    let Ok(loaded) = setup::load(cli.config.as_deref()) else { return Ok(Choice::NoTarget) };
    if !loaded.has_targets() && cli.targets.is_empty() {
        return Ok(Choice::NoTarget);
    }
    let targets = all(&loaded).await?;
    for name in &cli.targets {
        if !targets.iter().any(|target| target.name == *name) {
            cli::refuse_value(&Loaded::unknown_target(name, &targets));
        }
    }
    if let ([name], true) = (cli.targets.as_slice(), use_of != TargetUse::Service)
        && let Some(target) = targets.iter().find(|target| target.name == *name)
    {
        setup::select(target.loaded.clone());
        // Before the span of the target, which a log that has not begun would not see.
        setup::configuration(cli.config.as_deref())?;
        return Ok(Choice::One(name.as_str().into()));
    }
    if matches!(use_of, TargetUse::One | TargetUse::OneIfNamed) {
        cli::refuse_value("this command works on one target; say which one with --target NAME");
    }
    let mut names: Vec<String> = targets.into_iter().map(|target| target.name).collect();
    if !cli.targets.is_empty() {
        names.retain(|name| cli.targets.contains(name));
    }
    Ok(Choice::Several(names))
}

async fn all(loaded: &Loaded) -> anyhow::Result<Vec<Target>> {
    let rows = setup::directory(&loaded.config).await?;
    Ok(loaded.targets(&rows)?)
}

/// The result of the command for one target.
struct Outcome {
    name: String,
    code: u8,
    stdout: String,
}

/// The state that the threads share.
struct Work<'w> {
    names: &'w [String],
    arguments: Vec<OsString>,
    next: AtomicUsize,
    is_stopped: AtomicBool,
    /// The running processes.
    processes: Mutex<BTreeSet<i32>>,
    log_format: Option<&'static str>,
    shown: Shown,
}

/// The form in which the results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// The output of each target below its name.
    Texts,
    /// A table of all targets.
    Table,
    /// One JSON object.
    Json,
}

impl Shown {
    fn by(command: &Command) -> Self {
        match command {
            _ if command.is_json() => Self::Json,
            Command::Status(cli::Status { sessions: false, .. }) => Self::Table,
            _ => Self::Texts,
        }
    }
}

/// Runs the command for each of these targets. The exit code is the worst of all.
///
/// # Errors
/// If no process can be started.
pub async fn execute(cli: &Cli, names: Vec<String>) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(cli.config.as_deref())?;
    let shown = Shown::by(&cli.command);
    if let Some(action) = cli.command.asks().filter(|_| confirm::is_possible()) {
        let stop = Stop::on_signals(loaded.config.service.shutdown_timeout, exit::INTERRUPTED)?;
        let targets = counted(names.len() as i64, "target", "targets");
        if !confirm::ask(&format!("This {action} on {targets}. Continue?"), &stop).await {
            output::print("Nothing was changed.");
            return Ok(exit::INTERRUPTED);
        }
    }
    let is_text = loaded.config.log.format == LogFormat::Auto && std::io::stderr().is_terminal();
    let mut arguments = without_targets(std::env::args_os().skip(1));
    if shown == Shown::Table {
        arguments.push("--json".into());
    }
    let work = Arc::new(Work {
        arguments,
        names: Box::leak(names.into_boxed_slice()),
        next: AtomicUsize::new(0),
        is_stopped: AtomicBool::new(false),
        processes: Mutex::default(),
        log_format: is_text.then_some("text"),
        shown,
    });
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let working = Arc::clone(&work);
    let mut outcomes = tokio::task::spawn_blocking(move || working.run_all());
    let outcomes = loop {
        tokio::select! {
            ended = &mut outcomes => break ended.context("a bug in the worker")?,
            _ = terminate.recv() => work.stop(),
            _ = interrupt.recv() => work.stop(),
        }
    };
    Ok(summarise(&work, matches!(cli.command, Command::Status(_)), outcomes))
}

/// The command line without `--target`.
fn without_targets(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut is_name = false;
    let keep = |argument: &OsString| {
        let is_flag = argument == "--target";
        let text = argument.to_string_lossy();
        let keep = !is_name && !is_flag && !text.starts_with("--target=");
        is_name = is_flag && !is_name;
        keep
    };
    arguments.filter(keep).collect()
}

impl Work<'_> {
    /// Runs all processes, [`AT_A_TIME`] at a time.
    fn run_all(&self) -> Vec<Outcome> {
        let bar = progress::of("targets", self.names.len() as u64);
        let outcomes = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..AT_A_TIME.min(self.names.len()) {
                scope.spawn(|| {
                    while let Some(name) = self.names.get(self.next.fetch_add(1, Ordering::Relaxed))
                    {
                        let outcome = self.run(name);
                        if self.shown == Shown::Texts {
                            progress::aside(|| outcome.print());
                        }
                        bar.inc(1);
                        lock(&outcomes).push(outcome);
                    }
                });
            }
        });
        bar.finish_and_clear();
        let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcomes.sort_by(|one, other| one.name.cmp(&other.name));
        outcomes
    }

    fn run(&self, name: &str) -> Outcome {
        let outcome = |code, stdout| Outcome { name: name.to_owned(), code, stdout };
        if self.is_stopped.load(Ordering::Relaxed) {
            return outcome(exit::INTERRUPTED.byte(), String::new());
        }
        match self.start(name) {
            Ok(mut child) => {
                let process = child.id() as i32;
                let stdout = pass_on(name, &mut child);
                let code = child.wait().ok().and_then(|status| status.code());
                lock(&self.processes).remove(&process);
                let code = code.and_then(|code| u8::try_from(code).ok());
                outcome(code.unwrap_or(exit::COULD_NOT.byte()), stdout)
            }
            Err(error) => {
                output::say(&format!("{name}: error: no process can be started: {error}"));
                outcome(exit::COULD_NOT.byte(), String::new())
            }
        }
    }

    fn start(&self, name: &str) -> std::io::Result<Child> {
        let mut command = std::process::Command::new(std::env::current_exe()?);
        command.arg("--target").arg(name).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(format) = self.log_format {
            command.env("WORKER__LOG__FORMAT", format);
        }
        // In a group of its own, so that Ctrl-C reaches it once: passed on by this process.
        let child = command.process_group(0).spawn()?;
        lock(&self.processes).insert(child.id() as i32);
        Ok(child)
    }

    /// Stops the running processes and starts no others.
    fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        for process in lock(&self.processes).iter() {
            if let Some(process) = Pid::from_raw(*process) {
                let _ = kill_process(process, Signal::TERM);
            }
        }
    }
}

/// Passes the log of a process on while it runs, and returns its output.
fn pass_on(name: &str, child: &mut Child) -> String {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut text = String::new();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
                let Ok(line) = line else { break };
                let prefix =
                    if line.starts_with("error: ") { format!("{name}: ") } else { String::new() };
                output::say(&format!("{prefix}{line}"));
            }
        });
        if let Some(mut stdout) = stdout {
            let _ = stdout.read_to_string(&mut text);
        }
    });
    text
}

impl Outcome {
    /// Prints the output of the target below its name.
    fn print(&self) {
        let text = self.stdout.trim_end();
        if text.is_empty() {
            return;
        }
        match text.lines().count() {
            1 => output::print(&format!("{}: {text}", self.name)),
            _ => output::print(&format!("{}:\n{text}\n", self.name)),
        }
    }

    /// The object that the command printed; null if it printed none.
    fn result(&self) -> Value {
        let result = self.stdout.lines().last().and_then(|line| serde_json::from_str(line).ok());
        result.unwrap_or(Value::Null)
    }

    fn to_json(&self) -> Value {
        json!({ "target": self.name, "exit_code": self.code, "result": self.result() })
    }
}

/// Prints the summary, and returns the worst exit code.
fn summarise(work: &Work<'_>, is_status: bool, outcomes: Vec<Outcome>) -> Exit {
    let codes = outcomes.iter().map(|outcome| outcome.code);
    let worst = codes.map(Exit::from_code).max_by_key(Exit::severity).unwrap_or(exit::DONE);
    let counts = is_status.then(|| TargetCounts::of(&outcomes));
    if work.shown == Shown::Json {
        let targets: Vec<Value> = outcomes.iter().map(Outcome::to_json).collect();
        let mut printed = json!({ "targets": targets, "exit_code": worst.code() });
        if let Some(counts) = counts {
            printed["sums"] = counts.sums.to_json();
        }
        output::print_json(&printed);
        return worst;
    }
    if let (Some(counts), Shown::Table) = (counts, work.shown) {
        output::print(&counts.to_text());
    }
    let done = exit::DONE.byte();
    let bad: Vec<String> = outcomes
        .iter()
        .filter(|outcome| outcome.code != done)
        .map(|outcome| format!("{} ({})", outcome.name, outcome.code))
        .collect();
    let mut text = format!(
        "{}: {} done",
        counted(outcomes.len() as i64, "target", "targets"),
        outcomes.len() - bad.len()
    );
    if !bad.is_empty() {
        let named = bad.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        text.push_str(&format!(", {} not, with exit codes: {named}", bad.len()));
        if bad.len() > NAMED {
            text.push_str(&format!(" and {} more", bad.len() - NAMED));
        }
    }
    output::print_outcome(&format!("{text}."), bad.is_empty());
    worst
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::without_targets;

    #[test]
    fn the_flag_is_left_out_wherever_it_is() {
        let kept = |line: &str| {
            let words = line.split(' ').map(std::ffi::OsString::from);
            without_targets(words).join(std::ffi::OsStr::new(" ")).into_string().unwrap()
        };
        assert_eq!(kept("--target a status --json --target=b"), "status --json");
        assert_eq!(kept("--config f pause vitals --target c"), "--config f pause vitals");
    }
}
