//! Runs pgbench, which comes with the server.

use anyhow::{Context, ensure};
use local_postgres::Binaries;

use crate::server::Server;
use crate::worker;

/// A script that one client repeats.
pub struct Script<'s> {
    /// The commands of the script.
    pub text: &'s str,
    /// The duration in seconds.
    pub seconds: u64,
    /// Variables of the script.
    pub variables: &'s [(&'s str, u64)],
    /// Settings of the session, as in PGOPTIONS.
    pub options: &'s str,
}

impl Script<'_> {
    /// Runs the script, and returns the number after `line` in the output of pgbench.
    pub async fn run(&self, server: &Server, line: &str) -> anyhow::Result<f64> {
        let binaries = Binaries::find().context("no PostgreSQL")?;
        let file = worker::tempfile_of("pgbench");
        std::fs::write(&file, self.text)?;
        let output = tokio::process::Command::new(binaries.directory().join("pgbench"))
            .args(["--no-vacuum", "--client=1", "--protocol=prepared"])
            .arg(format!("--time={}", self.seconds))
            .args(self.variables.iter().map(|(name, value)| format!("--define={name}={value}")))
            .arg(format!("--file={}", file.display()))
            .arg(&server.url)
            .env("PGOPTIONS", self.options)
            .output()
            .await?;
        let _ = std::fs::remove_file(&file);
        ensure!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout);
        let number = said.lines().find_map(|said| said.strip_prefix(line));
        let number = number.and_then(|rest| rest.split_whitespace().next());
        Ok(number.with_context(|| format!("pgbench did not say \"{line}\""))?.parse()?)
    }
}
