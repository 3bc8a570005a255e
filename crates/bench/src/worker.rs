//! The worker as a process.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

/// Clock ticks a second in /proc/PID/stat; 100 on every Linux of today (sysconf(_SC_CLK_TCK)).
const TICKS_PER_SECOND: f64 = 100.0;

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

impl Service {
    /// Starts one with its default settings. Its log is written as in service, but nowhere.
    pub fn start(url: &str) -> anyhow::Result<Self> {
        let mut command = command(url, &["run"])?;
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self(child))
    }

    /// The processor time that it has used.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))
            .context("processor time is only known on Linux")?;
        // Behind the name, which may hold anything but ends with the last parenthesis.
        let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat")?;
        let ticks = |field: usize| -> anyhow::Result<f64> {
            Ok(fields.split_whitespace().nth(field).context("/proc/PID/stat")?.parse()?)
        };
        Ok(Duration::from_secs_f64((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND))
    }

    /// Its memory in megabytes.
    pub fn resident_mb(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kb = line.and_then(|line| line.split_whitespace().next()).context("VmRSS")?;
        Ok(kb.parse::<f64>()? / 1024.0)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
