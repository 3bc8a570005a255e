//! `worker status` on several targets: a row for each, and their sums.

use serde_json::{Value, json};

use super::Outcome;
use crate::tables::{self, age, thousands};

/// Raw rows of one target in the queue, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pending: i64,
    due: i64,
    backing_off: i64,
    processing: i64,
    expired: i64,
    dead: i64,
    in_future: i64,
    rejected: i64,
    /// How long the oldest row has waited, in seconds.
    oldest: Option<f64>,
}

/// The counts of each target, and their sums. A target without a status has none.
pub(super) struct TargetCounts {
    targets: Vec<(String, Option<Counts>)>,
    pub(super) sums: Counts,
}

impl Counts {
    /// The counts of all kinds in a status as JSON.
    fn read(status: &Value) -> Option<Self> {
        let kinds = status.get("kinds")?.as_object()?;
        Some(kinds.values().fold(Self::default(), |sums, kind| {
            let count = |name: &str| kind[name].as_i64().unwrap_or_default();
            sums.plus(Self {
                pending: count("pending"),
                due: count("due"),
                backing_off: count("backing_off"),
                processing: count("processing"),
                expired: count("expired"),
                dead: count("dead"),
                in_future: count("in_future"),
                rejected: count("rejected"),
                oldest: kind["oldest_pending_seconds"].as_f64(),
            })
        }))
    }

    fn plus(self, other: Self) -> Self {
        Self {
            pending: self.pending + other.pending,
            due: self.due + other.due,
            backing_off: self.backing_off + other.backing_off,
            processing: self.processing + other.processing,
            expired: self.expired + other.expired,
            dead: self.dead + other.dead,
            in_future: self.in_future + other.in_future,
            rejected: self.rejected + other.rejected,
            oldest: self.oldest.into_iter().chain(other.oldest).reduce(f64::max),
        }
    }

    /// The counts with the names of a kind's.
    pub(super) fn to_json(self) -> Value {
        json!({
            "pending": self.pending,
            "due": self.due,
            "backing_off": self.backing_off,
            "processing": self.processing,
            "expired": self.expired,
            "dead": self.dead,
            "in_future": self.in_future,
            "rejected": self.rejected,
            "oldest_pending_seconds": self.oldest,
        })
    }

    fn cells(self) -> [String; 6] {
        [
            thousands(self.pending),
            self.oldest.map_or_else(|| "-".to_owned(), age),
            thousands(self.backing_off),
            thousands(self.processing),
            thousands(self.dead),
            thousands(self.rejected),
        ]
    }
}

impl TargetCounts {
    pub(super) fn of(outcomes: &[Outcome]) -> Self {
        let read = |of: &Outcome| (of.name.clone(), Counts::read(&of.result()));
        let targets: Vec<_> = outcomes.iter().map(read).collect();
        let known = targets.iter().filter_map(|(_, counts)| *counts);
        let sums = known.fold(Counts::default(), Counts::plus);
        Self { targets, sums }
    }

    /// A table with a row for each target and a last one of sums, and where to read more.
    pub(super) fn to_text(&self) -> String {
        let header =
            ["target", "pending", "oldest", "backing off", "processing", "dead", "rejected"];
        let row = |name: &str, counts: Option<Counts>| {
            let unknown = || std::array::from_fn(|_| "-".to_owned());
            let cells = counts.map_or_else(unknown, Counts::cells);
            std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
        };
        let known = self.targets.iter().filter(|(_, counts)| counts.is_some()).count();
        let all = format!("sum of {}", thousands(known as i64));
        let rows = self.targets.iter().map(|(name, counts)| row(name, *counts));
        let rows = rows.chain(std::iter::once(row(&all, Some(self.sums))));
        format!(
            "{}\n\n`worker status --target NAME` shows the failures and runs of one target.",
            tables::table(&header, rows)
        )
    }
}
