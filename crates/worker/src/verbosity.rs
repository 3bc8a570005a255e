//! How much is said: as configured, less (`--quiet`) or more (`-v`).
//!
//! It is the process's, as its stderr is: progress and log ask here.

use std::sync::OnceLock;

/// What the command line asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// As `log.level` says.
    #[default]
    AsConfigured,
    /// Errors, and what was asked for.
    Quiet,
    /// What happens within a batch, too.
    Verbose,
    /// All there is.
    VeryVerbose,
}

static ASKED: OnceLock<Verbosity> = OnceLock::new();

/// Keeps what the command line asked for, for the rest of the process.
pub fn ask(verbosity: Verbosity) {
    let _ = ASKED.set(verbosity);
}

/// What the command line asked for.
pub fn asked() -> Verbosity {
    ASKED.get().copied().unwrap_or_default()
}

/// Whether to say nothing but errors and what was asked for.
pub fn is_quiet() -> bool {
    asked() == Verbosity::Quiet
}

impl Verbosity {
    /// The flag, and the `log.level` that it stands for: the last layer of the configuration.
    pub const fn layer(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::AsConfigured => None,
            Self::Quiet => Some(("--quiet", "error")),
            Self::Verbose => Some(("-v", "debug")),
            Self::VeryVerbose => Some(("-vv", "trace")),
        }
    }
}
