//! Runs the worker as a process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

/// Clock ticks a second in /proc/PID/stat; 100 on every current Linux (sysconf(_SC_CLK_TCK)).
const TICKS_PER_SECOND: f64 = 100.0;

/// The interval at which the peak of memory is read. The kernel keeps the peak, so only the last
/// moment is missed.
const LOOK_AT_MEMORY: Duration = Duration::from_millis(20);

/// The setting for parallel batches.
const AT_ONCE: &str = "WORKER__BATCH__CONCURRENCY";

/// How many rows the worker claims each second.
const MAX_ROWS: &str = "WORKER__BATCH__MAX_ROWS_PER_SECOND";

/// A running service. Dropped, it is killed.
pub struct Service(Child);

fn program() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("worker");
    ensure!(path.exists(), "build the worker first: cargo build --release -p worker");
    Ok(path)
}

fn command(url: &str, arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(program()?);
    command.env_clear().env("DATABASE_URL", url).args(arguments).stdin(Stdio::null());
    Ok(command)
}

/// Makes the schema.
pub fn migrate(url: &str) -> anyhow::Result<()> {
    let output = command(url, &["migrate"])?.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Makes the schemas of all targets of a configuration file.
pub fn migrate_with(url: &str, file: &Path) -> anyhow::Result<()> {
    let output = command(url, &["migrate"])?.arg("--config").arg(file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The result of a command that ended.
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// Its output with `--json`.
    pub json: Value,
    /// Its duration in seconds.
    pub seconds: f64,
    /// Its peak memory, in megabytes.
    pub peak_mb: f64,
    /// Its processor time in seconds, without its last moment.
    pub cpu: f64,
}

/// Runs a drain that logs each group, and returns how long each held a connection, in milliseconds.
/// Logging takes time, so no other figure of this drain is used.
pub fn holds(url: &str) -> anyhow::Result<Vec<f64>> {
    let log = tempfile_of("holds");
    let mut command = command(url, &["run-once", "--time-budget", "86400", "--json"])?;
    command.env("WORKER__LOG__LEVEL", "info,worker=debug").env("WORKER__LOG__FORMAT", "json");
    command.stdout(Stdio::null()).stderr(std::fs::File::create(&log)?);
    let ended = command.status();
    let said = std::fs::read_to_string(&log);
    let _ = std::fs::remove_file(&log);
    ensure!(ended?.success(), "run-once ended badly");
    let of_group = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["event"] == "group_committed").then(|| line["held_ms"].as_f64())?
    };
    let mut holds: Vec<f64> = said?.lines().filter_map(of_group).collect();
    holds.sort_by(f64::total_cmp);
    Ok(holds)
}

/// A path for a file of this process alone.
pub fn tempfile_of(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("dayfold-{name}-{}", std::process::id()))
}

/// Runs a command with `--json` and parses its output.
pub fn run(url: &str, arguments: &[&str]) -> anyhow::Result<Ran> {
    run_with(url, arguments, &[])
}

/// The setting for this number of parallel batches.
pub fn at_once(batches: u32) -> (String, String) {
    (AT_ONCE.to_owned(), batches.to_string())
}

/// Runs a command with `--json` and these variables.
pub fn run_with(
    url: &str,
    arguments: &[&str],
    variables: &[(String, String)],
) -> anyhow::Result<Ran> {
    let mut command = command(url, arguments)?;
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let began = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (mut peak_mb, mut cpu) = (0.0, 0.0);
    while child.try_wait()?.is_none() {
        peak_mb = in_mb(child.id(), "VmHWM:").unwrap_or(peak_mb);
        cpu = cpu_of(child.id()).map_or(cpu, |used| used.own);
        std::thread::sleep(LOOK_AT_MEMORY);
    }
    let seconds = began.elapsed().as_secs_f64();
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let json = text.lines().last().map(serde_json::from_str).transpose()?.unwrap_or_default();
    Ok(Ran { code: output.status.code().unwrap_or(-1), json, seconds, peak_mb, cpu })
}

/// Reads a line of /proc/PID/status, in megabytes.
fn in_mb(process: u32, name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kb = line.and_then(|line| line.split_whitespace().next()).context("memory")?;
    Ok(kb.parse::<f64>()? / 1024.0)
}

/// Processor time, in seconds.
pub struct Cpu {
    /// Time of the process.
    pub own: f64,
    /// Time of its ended children.
    pub ended_children: f64,
    /// The process id of its parent.
    pub parent: u32,
}

/// Reads the processor time of a process.
pub fn cpu_of(process: u32) -> anyhow::Result<Cpu> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))
        .context("processor time is only known on Linux")?;
    // The fields follow the name, which may contain any characters but ends with the last
    // parenthesis.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat")?;
    let field = |place: usize| -> anyhow::Result<f64> {
        Ok(fields.split_whitespace().nth(place).context("/proc/PID/stat")?.parse()?)
    };
    Ok(Cpu {
        own: (field(11)? + field(12)?) / TICKS_PER_SECOND,
        ended_children: (field(13)? + field(14)?) / TICKS_PER_SECOND,
        parent: field(1)? as u32,
    })
}

impl Service {
    /// Starts a service with its default settings. It writes its log as usual, but the log is
    /// discarded.
    pub fn start(url: &str) -> anyhow::Result<Self> {
        Self::start_with(url, 1, 0)
    }

    /// Starts one that runs `at_once` batches at once and claims at most `max_rows` rows a second; 0 is no limit.
    pub fn start_with(url: &str, at_once: u32, max_rows: u32) -> anyhow::Result<Self> {
        let mut command = command(url, &["run"])?;
        command.env(AT_ONCE, at_once.to_string()).env(MAX_ROWS, max_rows.to_string());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self(child))
    }

    /// Starts one that serves the operator's page at a port.
    pub fn start_page(url: &str, port: u16, token: &str) -> anyhow::Result<Self> {
        let mut command = command(url, &["run"])?;
        command
            .env("WORKER__HTTP__PORT", port.to_string())
            .env("WORKER__HTTP__OPERATOR_TOKEN", token);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self(child))
    }

    /// Starts a service with a configuration file.
    pub fn start_with_file(url: &str, file: &Path) -> anyhow::Result<Self> {
        let mut command = command(url, &["run"])?;
        command.arg("--config").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn()?))
    }

    /// Starts a service with a configuration file, whose log goes to a file as JSON.
    pub fn start_with_log(url: &str, file: &Path, log: &Path) -> anyhow::Result<Self> {
        let mut command = command(url, &["run"])?;
        command.arg("--config").arg(file).env("WORKER__LOG__FORMAT", "json");
        command.stdout(Stdio::null()).stderr(std::fs::File::create(log)?);
        Ok(Self(command.spawn()?))
    }

    /// Whether the service has ended.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// The processor time that the service has used.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(Duration::from_secs_f64(cpu_of(self.0.id())?.own))
    }

    /// The resident memory of the service in megabytes.
    pub fn resident_mb(&self) -> anyhow::Result<f64> {
        in_mb(self.0.id(), "VmRSS:")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
