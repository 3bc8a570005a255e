//! The demo's log: one table line per batch, for a terminal of 80 columns. The service logs the same
//! events with all their fields.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Compact, DefaultFields, Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats batches as lines of a table, and other events unchanged.
pub struct Lines {
    others: Format<Compact, ()>,
    has_header: AtomicBool,
}

impl Lines {
    /// Creates a formatter that has not printed the header yet.
    pub fn new() -> Self {
        let others = Format::default().compact().without_time().with_target(false);
        Self { others, has_header: AtomicBool::new(false) }
    }
}

impl<S> FormatEvent<S, DefaultFields> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    DefaultFields: for<'a> FormatFields<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, DefaultFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut batch = Batch::default();
        event.record(&mut batch);
        match batch.event.as_str() {
            "batch_done" => {
                if !self.has_header.swap(true, Ordering::Relaxed) {
                    writeln!(writer, "{HEADER}")?;
                }
                writeln!(writer, "{}", batch.line())
            }
            // The batch's own line and the summary contain the same information.
            "batch_claimed" | "run_done" => Ok(()),
            _ => self.others.format_event(context, writer, event),
        }
    }
}

const HEADER: &str = "event       kind       rows  groups  failed      took     held  pool after";

/// The fields of a batch that have a column.
#[derive(Default)]
struct Batch {
    event: String,
    kind: String,
    rows: u64,
    groups: u64,
    groups_failed: u64,
    duration_ms: f64,
    held_longest_ms: f64,
    in_use: u64,
    max: u64,
    health: String,
}

impl Batch {
    fn line(&self) -> String {
        format!(
            "{:<10}  {:<9}  {:>4}  {:>6}  {:>6}  {:>5.0} ms  {:>4.0} ms  {} of {}, {}",
            self.event,
            self.kind,
            self.rows,
            self.groups,
            self.groups_failed,
            self.duration_ms,
            self.held_longest_ms,
            self.in_use,
            self.max,
            self.health,
        )
    }
}

impl Visit for Batch {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "rows" => self.rows = value,
            "groups" => self.groups = value,
            "groups_failed" => self.groups_failed = value,
            "pool.in_use" => self.in_use = value,
            "pool.max" => self.max = value,
            _ => {}
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match field.name() {
            "duration_ms" => self.duration_ms = value,
            "held_longest_ms" => self.held_longest_ms = value,
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event" {
            value.clone_into(&mut self.event);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = match field.name() {
            "kind" => &mut self.kind,
            "pool.health" => &mut self.health,
            _ => return,
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "{value:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_fits_a_terminal_of_80_columns() {
        let batch = Batch {
            event: "batch_done".to_owned(),
            kind: "nutrition".to_owned(),
            rows: 200,
            groups: 200,
            groups_failed: 0,
            duration_ms: 1129.862,
            held_longest_ms: 24.805,
            in_use: 0,
            max: 4,
            health: "healthy".to_owned(),
        };
        assert_eq!(
            format!("{HEADER}\n{}", batch.line()),
            "event       kind       rows  groups  failed      took     held  pool after\n\
             batch_done  nutrition   200     200       0   1130 ms    25 ms  0 of 4, healthy"
        );
        assert!(HEADER.len() <= 80 && batch.line().len() <= 80);
    }
}
