//! Logging: text for terminals, JSON lines for programs, fields for systemd's journal.
//!
//! Records that libraries write with the `log` crate are dropped: those of the PostgreSQL driver contain
//! the parameters of statements, which are health data.
//!
//! If the reader of stderr has exited (`worker run-once 2>&1 | head`), the work must continue, so lines
//! that cannot be written are dropped. If the writer returned the error, the logging library would print
//! it to the same stderr, and panic.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use anyhow::Context;
use tracing::{Event, Subscriber};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{DefaultFields, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::config::{Log, LogFormat};
use crate::{progress, target, terminal};

/// The filter of the log, which may change while the process runs. There is one per process, as there is
/// one log.
static LEVEL: OnceLock<reload::Handle<EnvFilter, Filtered>> = OnceLock::new();

type Filtered = Registry;

/// Starts logging for the rest of the process.
///
/// # Errors
/// If `log.level` is invalid, or the journal is unavailable.
pub fn start(settings: &Log) -> anyhow::Result<()> {
    let lines = tracing_subscriber::fmt::layer()
        .log_internal_errors(false)
        .with_target(false)
        .with_writer(|| progress::Aside);
    let json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Journald => return start_with(settings, journal()?.boxed()),
    };
    start_with(
        settings,
        if json {
            let lines = lines.json().flatten_event(true).with_current_span(false);
            lines.with_span_list(false).map_event_format(WithTarget).boxed()
        } else {
            lines.with_ansi(terminal::colours()).boxed()
        },
    )
}

/// Puts the fields of the target's span at the beginning of each JSON line: `target.name`.
struct WithTarget<F>(F);

impl<S, F> FormatEvent<S, JsonFields> for WithTarget<F>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    F: FormatEvent<S, JsonFields>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let span = context
            .event_scope()
            .and_then(|mut spans| spans.find(|span| span.name() == target::SPAN));
        let fields = span.and_then(|span| {
            let extensions = span.extensions();
            extensions.get::<FormattedFields<JsonFields>>().map(|fields| fields.fields.clone())
        });
        let Some(fields) = fields else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match (fields.strip_suffix('}'), line.strip_prefix('{')) {
            (Some(first), Some(rest)) => write!(writer, "{first},{rest}"),
            _ => writer.write_str(&line),
        }
    }
}

/// Starts logging with a format of the caller.
///
/// # Errors
/// If `log.level` is invalid.
pub fn start_as<F>(settings: &Log, form: F) -> anyhow::Result<()>
where
    F: FormatEvent<WithFilter, DefaultFields> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .event_format(form)
        .log_internal_errors(false)
        .with_ansi(terminal::colours())
        .with_writer(|| progress::Aside);
    start_with(settings, lines.boxed())
}

/// The subscriber below the layers that write.
pub type WithFilter =
    tracing_subscriber::layer::Layered<reload::Layer<EnvFilter, Filtered>, Filtered>;

fn start_with(
    settings: &Log,
    output: Box<dyn Layer<WithFilter> + Send + Sync>,
) -> anyhow::Result<()> {
    let (filter, level) = reload::Layer::new(filter(&settings.level)?);
    // A second start, in tests of the same process, keeps the first.
    if tracing_subscriber::registry().with(filter).with(output).try_init().is_ok() {
        let _ = LEVEL.set(level);
    }
    report_panics();
    Ok(())
}

/// Each field becomes a field of the journal, such as `DAYFOLD_EVENT` and `DAYFOLD_ROWS`.
fn journal() -> anyhow::Result<tracing_journald::Layer> {
    let layer = tracing_journald::layer()
        .context("log.format is journald, but systemd's journal does not take messages here")?;
    let priorities = PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    };
    Ok(layer
        .with_priority_mappings(priorities)
        .with_field_prefix(Some("DAYFOLD".to_owned()))
        .with_syslog_identifier("dayfold".to_owned()))
}

/// Validates the settings that only logging can validate.
///
/// # Errors
/// If `log.level` is invalid.
pub fn check(settings: &Log) -> anyhow::Result<()> {
    filter(&settings.level).map(|_| ())
}

/// Changes the log level.
///
/// # Errors
/// If the level is invalid; then the former one stays.
pub fn set_level(level: &str) -> anyhow::Result<()> {
    let filter = filter(level)?;
    if let Some(current) = LEVEL.get() {
        current.reload(filter).context("the level of the log cannot be changed")?;
    }
    Ok(())
}

/// Changes the log level to debug, or back to the configured one.
pub fn toggle(verbose: bool, configured: String) {
    let level = if verbose { "debug".to_owned() } else { configured };
    if set_level(&level).is_ok() {
        tracing::info!(
            event = "log_level_changed",
            level,
            "Log level is {level} until the next SIGUSR1"
        );
    }
}

/// The targets to which a plain level applies. Of libraries, only warnings are logged, unless a
/// directive names their target.
const OURS: [&str; 5] = ["aggregation", "alerts", "local_postgres", "store", "worker"];

/// Parses `log.level`. A word that is no level would count as the name of a target, and nothing would be
/// logged.
fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    let mut expanded = Vec::new();
    for directive in level.split(',').map(str::trim) {
        if directive.contains(['=', '[']) {
            expanded.push(directive.to_owned());
        } else {
            let level = directive.parse::<LevelFilter>().ok().with_context(no_filter)?;
            expanded.push(level.min(LevelFilter::WARN).to_string());
            expanded.extend(OURS.map(|target| format!("{target}={level}")));
        }
    }
    EnvFilter::builder().parse(expanded.join(",")).ok().with_context(no_filter)
}

/// The message omits the text, as all problems of the configuration do.
fn no_filter() -> &'static str {
    "log.level is neither a level (error, warn, info, debug, trace, off) \
     nor directives such as \"info,store=debug\""
}

fn report_panics() {
    // The message of a panic may quote health data; its location is enough to correct the bug.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "?".to_owned(), ToString::to_string);
        tracing::error!(event = "panic", place, "a bug in the worker; please report the place");
    }));
}
