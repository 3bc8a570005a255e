//! Raw vitals as rows of the view.

use std::collections::BTreeMap;

use aggregation::Kind;
use aggregation::raw::{Context, RawVital};
use aggregation::vitals::explain::Fate;
use chrono::NaiveDate;

use crate::commands::page::user_day::day::Row;
use crate::commands::page::user_day::words;

/// A row with its verdict; `source_of` names the source of another row.
pub(super) fn vital_row(
    name: &str,
    row: &RawVital,
    fate: &Fate,
    source_of: impl Fn(i64) -> String,
) -> Row {
    let (verdict, why) = words::of_vital(fate, source_of);
    let part = match fate {
        Fate::Contributes { part, .. } => Some(*part),
        _ => None,
    };
    let name = match &row.workout_type {
        Some(workout_type) => format!("{name} ({})", &**workout_type),
        None => name.to_owned(),
    };
    Row {
        id: row.id,
        kind: Kind::Vitals,
        name,
        source: row.source.to_string(),
        starts_at: row.started_at,
        ends_at: row.ended_at,
        value: Some(format!("{}{}", row.comparator.as_deref().unwrap_or(""), row.value)),
        unit: Some(row.unit.to_string()),
        verdict,
        counts: fate.counts(),
        why,
        part,
    }
}

/// The rows of a date; of other dates those that a reader would look for here, by the profile's zone.
pub(super) fn vital_rows(
    context: &Context<'_>,
    name: &str,
    rows: &[RawVital],
    fates: &[(i64, Fate)],
    date: NaiveDate,
) -> Vec<Row> {
    let by_id: BTreeMap<i64, &RawVital> = rows.iter().map(|row| (row.id, row)).collect();
    let source_of = |id: i64| by_id.get(&id).map_or_else(String::new, |row| row.source.to_string());
    let is_looked_for = |row: &RawVital| {
        let zone = context.base_zone.as_ref().ok();
        row.started_at.is_datable() && zone.is_some_and(|zone| zone.date_of(row.started_at) == date)
    };
    let shown = fates.iter().filter_map(|(id, fate)| {
        let row = by_id.get(id)?;
        let is_of_date = !matches!(fate, Fate::OtherDate(_));
        (is_of_date || is_looked_for(row)).then(|| vital_row(name, row, fate, source_of))
    });
    shown.collect()
}
