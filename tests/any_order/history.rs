//! Histories: an app changes its raw rows, and the worker runs now and then.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::rows::{amount, at, row, user, zone};

/// Where the rows of a history begin, in UTC; they end two and a half days later. Each has a
/// change of clocks in it: Berlin falls back, Berlin springs forward, São Paulo has no midnight.
pub const BEGINNINGS: [&str; 3] =
    ["2024-10-25 21:00+00", "2024-03-29 21:00+00", "2018-11-02 21:00+00"];

/// A marker in times of rows. It is replaced by the beginning of their history.
pub(super) const BEGINNING: &str = "{beginning}";

/// The profiles, which no edit changes. User 3 has none, user 4 one whose zone does not exist.
pub const PROFILES: &str = "
    INSERT INTO user_profiles (user_id, time_zone, source_priority) VALUES
        (1, 'Europe/Berlin', '{watch,phone}'),
        (2, 'America/Sao_Paulo', '{}'),
        (4, 'Mars/Olympus', '{phone}')";

/// The zone of user 3; its hours begin at half past.
pub const DEFAULT_ZONE: &str = "America/St_Johns";

/// Everything that happens.
#[derive(Clone, Debug)]
pub struct History {
    pub beginning: &'static str,
    pub phases: Vec<Phase>,
    /// Orders the final rows for the computation from scratch.
    pub shuffle: u64,
}

/// Edits, and then a run; or both at once.
#[derive(Clone, Debug)]
pub struct Phase {
    pub edits: Vec<Edit>,
    pub run: Run,
}

/// How the worker runs.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub batch_size: u32,
    pub max_batches: Option<u32>,
    pub at_once: u32,
    pub workers: usize,
    /// The edits are made while the workers run.
    pub beside_edits: bool,
}

/// A statement of the app.
#[derive(Clone, Debug)]
pub enum Edit {
    Insert(Vec<Row>),
    /// Everything about a row but its id becomes that of another.
    Correct(Index, Row),
    /// All vitals of a user move, and some change their user.
    Move {
        user: i64,
        to: i64,
        minutes: i64,
    },
    /// Vitals that exist are sent again, with another value and zone.
    Resend(Vec<(Index, String, String)>),
    Delete(Vec<Index>),
    DeleteDay {
        user: i64,
        quarter: i64,
    },
}

/// A raw row without its id.
#[derive(Clone, Debug)]
pub struct Row {
    pub table: &'static str,
    pub user: i64,
    /// Columns and their SQL.
    pub columns: Vec<(&'static str, String)>,
}

/// The rows that exist.
#[derive(Debug, Default)]
pub struct Ids {
    given: i64,
    alive: Vec<(&'static str, i64)>,
}

impl Ids {
    /// A new id; ids do not ascend with time, as sequences of several connections do not.
    fn next(&mut self, table: &'static str) -> i64 {
        self.given += 1;
        let id = self.given * 7_919 % 100_003;
        self.alive.push((table, id));
        id
    }

    /// The id of one row of a table, if it has any.
    fn one_of(&self, table: &str, which: Index) -> Option<i64> {
        let of_table: Vec<i64> =
            self.alive.iter().filter(|(of, _)| *of == table).map(|(_, id)| *id).collect();
        (!of_table.is_empty()).then(|| *which.get(&of_table))
    }
}

impl Edit {
    /// The SQL of this edit, if there is a row to which it can apply.
    pub fn sql(&self, ids: &mut Ids, beginning: &str) -> Option<String> {
        let sql = match self {
            Self::Insert(rows) => {
                let one = |row: &Row| {
                    let names: Vec<&str> = row.columns.iter().map(|(name, _)| *name).collect();
                    let values: Vec<&str> =
                        row.columns.iter().map(|(_, sql)| sql.as_str()).collect();
                    format!(
                        "INSERT INTO {} (id, user_id, {}) VALUES ({}, {}, {})",
                        row.table,
                        names.join(", "),
                        ids.next(row.table),
                        row.user,
                        values.join(", ")
                    )
                };
                rows.iter().map(one).collect::<Vec<_>>().join(";\n")
            }
            Self::Correct(which, row) => {
                let id = ids.one_of(row.table, *which)?;
                let set: Vec<String> =
                    row.columns.iter().map(|(name, sql)| format!("{name} = {sql}")).collect();
                let (table, user) = (row.table, row.user);
                format!("UPDATE {table} SET user_id = {user}, {} WHERE id = {id}", set.join(", "))
            }
            Self::Move { user, to, minutes } => format!(
                "UPDATE vitals_raw
                 SET started_at = started_at + interval '{minutes} minutes',
                     ended_at = ended_at + interval '{minutes} minutes',
                     user_id = CASE WHEN id % 2 = 0 THEN {to} ELSE user_id END
                 WHERE user_id = {user} AND isfinite(started_at) AND isfinite(ended_at)
                   AND started_at BETWEEN '1900-01-01' AND '2100-01-01'
                   AND ended_at BETWEEN '1900-01-01' AND '2100-01-01'"
            ),
            Self::Resend(rows) => {
                let again = |(which, value, zone): &(Index, String, String)| {
                    let id = ids.one_of("vitals_raw", *which)?;
                    Some(format!(
                        "INSERT INTO vitals_raw (id, user_id, metric, value, unit, source, started_at,
                                                 ended_at, time_zone, is_daily_total)
                         SELECT {}, user_id, metric, {value}, unit, source, started_at, ended_at,
                                {zone}, is_daily_total
                         FROM vitals_raw WHERE id = {id}",
                        ids.next("vitals_raw")
                    ))
                };
                rows.iter().filter_map(again).collect::<Vec<_>>().join(";\n")
            }
            Self::Delete(rows) => {
                let delete = |which: &Index| {
                    let (table, id) = (!ids.alive.is_empty()).then(|| *which.get(&ids.alive))?;
                    ids.alive.retain(|row| *row != (table, id));
                    Some(format!("DELETE FROM {table} WHERE id = {id}"))
                };
                rows.iter().filter_map(delete).collect::<Vec<_>>().join(";\n")
            }
            // Deleted rows stay among the living here; editing them later does nothing.
            Self::DeleteDay { user, quarter } => {
                let from = at(*quarter);
                format!(
                    "DELETE FROM vitals_raw WHERE user_id = {user} AND started_at >= {from}
                         AND started_at < {from} + interval '1 day';
                     DELETE FROM nutrition_raw WHERE user_id = {user} AND eaten_at >= {from};
                     DELETE FROM lab_raw WHERE user_id = {user} AND collected_at < {from}"
                )
            }
        };
        Some(sql.replace(BEGINNING, beginning))
    }
}

/// Any history.
pub fn history() -> impl Strategy<Value = History> {
    let phase = (vec(edit(), 1..16), run()).prop_map(|(edits, run)| Phase { edits, run });
    (select(BEGINNINGS.to_vec()), vec(phase, 2..6), any::<u64>())
        .prop_map(|(beginning, phases, shuffle)| History { beginning, phases, shuffle })
}

fn run() -> impl Strategy<Value = Run> {
    (50u32..=200, option::of(1u32..4), 1u32..=3, 1usize..=2, any::<bool>()).prop_map(
        |(batch_size, max_batches, at_once, workers, beside_edits)| Run {
            batch_size,
            max_batches,
            at_once,
            workers,
            beside_edits,
        },
    )
}

/// Any statement of the app.
pub fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        8 => vec(row(), 1..28).prop_map(Edit::Insert),
        6 => (any::<Index>(), row()).prop_map(|(which, row)| Edit::Correct(which, row)),
        1 => (user(), user(), select(vec![-1_440, -45, 15, 60, 1_440]))
            .prop_map(|(user, to, minutes)| Edit::Move { user, to, minutes }),
        3 => vec((any::<Index>(), amount(2_000), zone()), 1..12).prop_map(Edit::Resend),
        4 => vec(any::<Index>(), 1..12).prop_map(Edit::Delete),
        1 => (user(), 0i64..240).prop_map(|(user, quarter)| Edit::DeleteDay { user, quarter }),
    ]
}
