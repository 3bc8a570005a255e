//! The basis of the figures: days, rejected rows, sources, zones, versions and times.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::Timestamp;
use maud::{Markup, html};
use store::DayRow;

use super::{Section, section};
use crate::sheet::{Sheet, all_days, scrollable};
use crate::text;
use wording::{counted, thousands};

/// The basis of the figures of one table, or of one metric in it.
#[derive(Default)]
struct Basis<'b> {
    days: usize,
    partial: usize,
    rejected: Option<i64>,
    sources: BTreeSet<&'b str>,
    zones: BTreeSet<&'b str>,
    versions: BTreeSet<i32>,
    computed: Option<(Timestamp, Timestamp)>,
}

/// The section about the basis of the figures.
pub fn quality(sheet: &Sheet<'_>) -> Section {
    let content =
        html! { (bases(sheet)) (unmatched_priorities(sheet)) (rejected(sheet)) (future(sheet)) };
    section("quality", "What the figures rest on", content)
}

fn bases(sheet: &Sheet<'_>) -> Markup {
    let days = sheet.daily;
    let mut bases: BTreeMap<(u8, &str, String), Basis<'_>> = BTreeMap::new();
    let mut add = |order, table, what: String, day| {
        bases.entry((order, table, what)).or_default().add(day);
    };
    for row in &days.vitals {
        add(0, "vitals_daily", text::title(&row.metric), &row.day);
    }
    let whole: [(u8, &str, &str, Vec<&DayRow>); 5] = [
        (
            1,
            "blood_pressure_daily",
            "Blood pressure, pairs",
            days.blood_pressure.iter().map(|row| &row.day).collect(),
        ),
        (
            2,
            "glucose_daily",
            "Glucose, time in range",
            days.glucose.iter().map(|row| &row.day).collect(),
        ),
        (3, "sleep_daily", "Sleep", days.sleep.iter().map(|row| &row.day).collect()),
        (4, "nutrition_daily", "Meals", days.nutrition.iter().map(|row| &row.day).collect()),
        (5, "lab_daily", "Laboratory results", days.labs.iter().map(|row| &row.day).collect()),
    ];
    for (order, table, what, rows) in whole {
        for day in rows {
            add(order, table, what.to_owned(), day);
        }
    }
    let joined = |words: &BTreeSet<&str>| words.iter().copied().collect::<Vec<_>>().join(", ");
    html! {
        (scrollable("What the figures rest on", &html! {
            table {
                thead {
                    tr {
                        th scope="col" { "Figures" }
                        th scope="col" { "Table" }
                        @for head in ["Rows", "Not ended", "Rejected"] { th.number scope="col" { (head) } }
                        @for head in ["Sources", "Zones", "Version", "Computed"] { th scope="col" { (head) } }
                    }
                }
                tbody {
                    @for ((_, table, what), basis) in &bases {
                        tr {
                            th scope="row" { (what) }
                            td { code { (table) } }
                            td.number { (thousands(basis.days as i64)) }
                            td.number { (thousands(basis.partial as i64)) }
                            td.number { (basis.rejected.map_or_else(|| text::NONE.to_owned(), thousands)) }
                            td { (joined(&basis.sources)) }
                            td { (joined(&basis.zones)) }
                            td { (basis.versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")) }
                            td { (basis.computed()) }
                        }
                    }
                }
            }
        }))
    }
}

impl<'b> Basis<'b> {
    fn add(&mut self, day: &'b DayRow) {
        self.days += 1;
        self.partial += usize::from(day.is_partial);
        if let Some(rows) = day.rejected {
            *self.rejected.get_or_insert(0) += i64::from(rows);
        }
        self.sources.extend(day.sources.iter().map(String::as_str));
        self.zones.insert(&day.time_zone);
        self.versions.insert(day.algorithm_version);
        let (first, last) = self.computed.unwrap_or((day.computed_at, day.computed_at));
        self.computed = Some((first.min(day.computed_at), last.max(day.computed_at)));
    }

    fn computed(&self) -> String {
        let Some((first, last)) = self.computed else { return text::NONE.to_owned() };
        let (first, last) = (text::instant(first), text::instant(last));
        if first == last {
            return first;
        }
        format!("{} to {last}", first.trim_end_matches(" UTC"))
    }
}

/// Sources of the profile's order that no row of these days has, for example because of a typing
/// error.
fn unmatched_priorities(sheet: &Sheet<'_>) -> Markup {
    let found: BTreeSet<&str> =
        all_days(sheet.daily).flat_map(|day| &day.sources).map(String::as_str).collect();
    let order = sheet.daily.source_priority.iter().map(String::as_str);
    let unmatched: Vec<&str> = order.filter(|source| !found.contains(source)).collect();
    html! {
        @if !unmatched.is_empty() && !found.is_empty() {
            p {
                "The profile ranks sources from which these days have no row: "
                (unmatched.join(", ")) ". A name must be the one that the rows have."
            }
        }
    }
}

fn rejected(sheet: &Sheet<'_>) -> Markup {
    let rejected = &sheet.daily.rejected;
    html! {
        h3 { "Rows that could not be used" }
        @if rejected.is_empty() {
            p { "No raw row of these days was rejected." }
        } @else {
            p {
                "These raw rows of these days take no part in the figures. "
                "A row of glucose or blood pressure counts in two lines above, and here once."
            }
            (scrollable("Rows that could not be used", &html! {
                table {
                    thead {
                        tr {
                            th scope="col" { "Kind" }
                            th scope="col" { "Reason" }
                            th.number scope="col" { "Rows" }
                        }
                    }
                    tbody {
                        @for row in rejected {
                            tr {
                                td { (row.kind.name()) }
                                td { (row.reason.replace('_', " ")) }
                                td.number { (thousands(row.rows)) }
                            }
                        }
                    }
                }
            }))
        }
    }
}

fn future(sheet: &Sheet<'_>) -> Markup {
    let rows = sheet.daily.future_rows;
    html! {
        @if rows > 0 {
            h3 { "Rows dated in the future" }
            p {
                (counted(rows, "row", "rows"))
                " of these days: a device's clock is wrong, or the app's. They count on their dates."
            }
        }
    }
}
