//! The verbosity of the output: as configured, less (`--quiet`) or more (`-v`).
//!
//! It applies to the whole process, as stderr does. Progress and log read it here.

use std::sync::OnceLock;

/// The verbosity requested by the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// As `log.level` says.
    #[default]
    AsConfigured,
    /// Only errors and the requested output.
    Quiet,
    /// Also the events within a batch.
    Verbose,
    /// All events.
    VeryVerbose,
}

static ASKED: OnceLock<Verbosity> = OnceLock::new();

/// Stores the verbosity for the rest of the process.
pub fn ask(verbosity: Verbosity) {
    let _ = ASKED.set(verbosity);
}

/// The verbosity requested by the command line.
pub fn asked() -> Verbosity {
    ASKED.get().copied().unwrap_or_default()
}

/// Whether to print only errors and the requested output.
pub fn is_quiet() -> bool {
    asked() == Verbosity::Quiet
}

impl Verbosity {
    /// The flag and its value of `log.level`: the last layer of the configuration.
    pub const fn layer(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::AsConfigured => None,
            Self::Quiet => Some(("--quiet", "error")),
            Self::Verbose => Some(("-v", "debug")),
            Self::VeryVerbose => Some(("-vv", "trace")),
        }
    }
}
