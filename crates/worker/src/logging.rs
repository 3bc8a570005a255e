//! Logs: text for people, JSON lines for machines, always on stderr.
//!
//! A reader that has gone away (`worker run-once 2>&1 | head`) must not end the work, so a line
//! that cannot be written is dropped: told of it, the library would print to the same stderr, and
//! that print panics.

use std::io::{self, IsTerminal};

use anyhow::Context;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::FormatEvent;
use tracing_subscriber::fmt::format::DefaultFields;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::config::{Log, LogFormat};

/// Starts logging for the rest of the process.
///
/// # Errors
/// If `log.level` is no filter.
pub fn start(settings: &Log) -> anyhow::Result<()> {
    let json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(settings)?)
        .log_internal_errors(false)
        .with_target(false)
        .with_writer(io::stderr);
    // A second start, in tests of the same process, keeps the first.
    let _ = if json {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        builder.with_ansi(colours()).try_init()
    };
    report_panics();
    Ok(())
}

/// Starts logging in a form of the caller's own.
///
/// # Errors
/// If `log.level` is no filter.
pub fn start_as<F>(settings: &Log, form: F) -> anyhow::Result<()>
where
    F: FormatEvent<Registry, DefaultFields> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .event_format(form)
        .log_internal_errors(false)
        .with_ansi(colours())
        .with_writer(io::stderr)
        .with_filter(filter(settings)?);
    let _ = tracing_subscriber::registry().with(lines).try_init();
    report_panics();
    Ok(())
}

/// A word that is no level would be taken for the name of a target, and nothing be logged.
fn filter(settings: &Log) -> anyhow::Result<EnvFilter> {
    let mut directives = settings.level.split(',').map(str::trim);
    let known = directives.all(|directive| {
        directive.contains(['=', '[']) || directive.parse::<LevelFilter>().is_ok()
    });
    let filter = known.then(|| EnvFilter::builder().parse(&settings.level).ok()).flatten();
    // Without its text, as in all problems of the configuration.
    filter.context(
        "log.level is neither a level (error, warn, info, debug, trace, off) \
         nor directives such as \"info,store=debug\"",
    )
}

fn report_panics() {
    // The message of a panic may quote what was being computed; its place is enough to mend it.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "?".to_owned(), ToString::to_string);
        tracing::error!(event = "panic", place, "a bug in the worker; please report its place");
    }));
}

fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
