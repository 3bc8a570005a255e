//! Logs: text for people, JSON lines for machines, always on stderr.

use std::io::{self, IsTerminal};

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging for the rest of the process.
///
/// # Errors
/// If `log.level` is no filter.
pub fn start(settings: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .parse(&settings.level)
        .with_context(|| format!("log.level = {:?} is not a log level or filter", settings.level))?;
    let json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(io::stderr);
    // A second start, in tests of the same process, keeps the first.
    let _ = if json {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        builder.with_ansi(colours()).try_init()
    };
    // The message of a panic may quote what was being computed; its place is enough to mend it.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "?".to_owned(), ToString::to_string);
        tracing::error!(event = "panic", place, "a bug in the worker; please report its place");
    }));
    Ok(())
}

fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
