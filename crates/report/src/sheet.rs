//! The data that every section of the page needs: the requested days, and remarks about each.

use std::collections::BTreeMap;

use aggregation::catalogue::Catalogue;
use chrono::NaiveDate;
use maud::{Markup, html};
use store::{DayRow, UserDays};

use super::chart::{Foot, Frame, Slots};
use super::text;
use wording::{counted, thousands};

/// The maximum number of days whose tables are open; longer tables would push the charts apart.
const MOST_OPEN: usize = 7;

/// The maximum number of days whose tables are printed; a longer print would be a book.
const MOST_PRINTED: usize = 31;

/// The requested days of a user, laid out.
#[derive(Clone, Debug)]
pub struct Sheet<'s> {
    /// The stored data.
    pub days: &'s UserDays,
    /// Titles, units and styles of metrics.
    pub catalogue: &'s Catalogue,
    /// The requested days.
    pub slots: Slots,
    /// The zone of most days.
    pub zone: Option<String>,
}

/// A table of days, behind a line that opens it.
#[derive(Clone, Debug)]
pub struct DayTable<'t> {
    /// The caption of the table.
    pub caption: String,
    /// The columns between the date and the notes.
    pub head: &'t [&'t str],
    /// A row for each day with data.
    pub rows: Vec<TableRow>,
}

/// A day in a table.
#[derive(Clone, Debug)]
pub struct TableRow {
    /// The date, or the hour.
    pub when: String,
    /// The figures.
    pub cells: Vec<String>,
    /// Remarks about the day.
    pub notes: String,
}

impl<'s> Sheet<'s> {
    /// Lays out the stored data.
    pub fn new(days: &'s UserDays, catalogue: &'s Catalogue) -> Self {
        let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
        for day in all_days(days) {
            *zones.entry(day.time_zone.as_str()).or_default() += 1;
        }
        let most = zones.iter().max_by_key(|(_, rows)| **rows);
        let zone = days.profile_zone.as_deref().filter(|zone| zones.contains_key(zone));
        let zone = zone.or(most.map(|(zone, _)| *zone)).map(ToOwned::to_owned);
        Self { days, catalogue, slots: Slots::days(days.from, days.to), zone }
    }

    /// Whether a single day was requested.
    pub fn is_one_day(&self) -> bool {
        self.slots.count() == 1
    }

    /// The frame of the main charts: full page width, except for a single day.
    pub fn main_frame(&self) -> Frame {
        if self.is_one_day() { Frame::SMALL } else { Frame::WIDE }
    }

    /// The rows by slot; `None` for a day without a row.
    pub fn by_day<'r, R>(
        &self,
        rows: impl IntoIterator<Item = &'r R>,
        date: impl Fn(&R) -> NaiveDate,
    ) -> Vec<Option<&'r R>> {
        let mut by_day = vec![None; self.slots.count()];
        for row in rows {
            let index = (date(row) - self.days.from).num_days();
            let slot = usize::try_from(index).ok().and_then(|index| by_day.get_mut(index));
            if let Some(slot) = slot {
                *slot = Some(row);
            }
        }
        by_day
    }

    /// The summary of a chart: the number of days with figures, unless a single day was requested,
    /// and the figures.
    pub fn says(&self, days: usize, what: impl IntoIterator<Item = String>) -> String {
        let all = self.slots.count() as i64;
        let of_all = format!("{} of {} days", thousands(days as i64), thousands(all));
        let of_all = (!self.is_one_day()).then_some(of_all);
        of_all.into_iter().chain(what).collect::<Vec<_>>().join("; ")
    }

    /// `on average`, unless a single day was requested.
    pub fn on_average(&self) -> &'static str {
        if self.is_one_day() { "" } else { " a day on average" }
    }

    /// `1 March 2024 to 31 March 2024`.
    pub fn when(&self) -> String {
        let day = |date: NaiveDate| date.format("%-d %B %Y").to_string();
        match self.is_one_day() {
            true => day(self.days.from),
            false => format!("{} to {}", day(self.days.from), day(self.days.to)),
        }
    }

    /// The remarks about a day, in words.
    pub fn notes(&self, day: &DayRow, more: impl IntoIterator<Item = Option<String>>) -> String {
        let partial = day.is_partial.then(|| "day had not ended".to_owned());
        let rejected = day.rejected.filter(|rows| *rows > 0);
        let rejected =
            rejected.map(|rows| format!("{} rejected", counted(rows.into(), "row", "rows")));
        let elsewhere = self.zone.as_ref().is_some_and(|zone| *zone != day.time_zone);
        let zone = elsewhere.then(|| format!("zone {}", day.time_zone));
        let notes = [partial, rejected, zone].into_iter().chain(more).flatten();
        notes.collect::<Vec<_>>().join("; ")
    }

    /// Whether tables are open initially.
    pub fn opens_tables(&self) -> bool {
        self.slots.count() <= MOST_OPEN
    }

    /// Whether tables are printed even if they are closed.
    pub fn prints_tables(&self) -> bool {
        self.slots.count() <= MOST_PRINTED
    }

    /// A table of days, behind a line that opens it.
    pub fn table(&self, table: &DayTable<'_>) -> Markup {
        let left_out = self.slots.count().saturating_sub(table.rows.len());
        html! {
            details.figures open[self.opens_tables()] {
                summary { "Figures: " (table.caption) }
                div.wide {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Date" }
                                @for head in table.head { th.number scope="col" { (head) } }
                                th scope="col" { "Notes" }
                            }
                        }
                        tbody {
                            @for row in &table.rows {
                                tr {
                                    th scope="row" { (row.when) }
                                    @for cell in &row.cells { td.number { (cell) } }
                                    td.notes { (row.notes) }
                                }
                            }
                        }
                    }
                }
                @if left_out > 0 && !self.is_one_day() {
                    p.small { (counted(left_out as i64, "day", "days")) " without data left out." }
                }
            }
        }
    }
}

impl TableRow {
    /// The row of a day.
    pub fn new(date: NaiveDate, cells: Vec<String>, notes: String) -> Self {
        Self { when: text::short_date(date), cells, notes }
    }
}

/// The remarks about a day that are drawn below a chart.
pub fn foot(day: &DayRow) -> Foot {
    Foot { partial: day.is_partial, rejected: day.rejected.is_some_and(|rows| rows > 0) }
}

/// The remarks for each slot.
pub fn feet<'r, R: 'r>(rows: &[Option<&'r R>], day: impl Fn(&'r R) -> &'r DayRow) -> Vec<Foot> {
    rows.iter().map(|row| row.map(|row| foot(day(row))).unwrap_or_default()).collect()
}

/// The days of every table.
pub fn all_days(days: &UserDays) -> impl Iterator<Item = &DayRow> {
    let vitals = days.vitals.iter().map(|row| &row.day);
    vitals
        .chain(days.sleep.iter().map(|row| &row.day))
        .chain(days.blood_pressure.iter().map(|row| &row.day))
        .chain(days.glucose.iter().map(|row| &row.day))
        .chain(days.nutrition.iter().map(|row| &row.day))
        .chain(days.labs.iter().map(|row| &row.day))
}

/// A chart with its heading, its summary and its legend.
pub fn figure(
    frame: Frame,
    heading: &str,
    unit: &str,
    says: &str,
    drawing: &Markup,
    legend: &Markup,
) -> Markup {
    html! {
        figure.(if frame.is_wide() { "across" } else { "beside" }) {
            figcaption {
                strong { (heading) }
                @if !unit.is_empty() { span.unit { ", " (unit) } }
                @if !says.is_empty() { span.says { (says) } }
            }
            div.drawing { (drawing) }
            (legend)
        }
    }
}
