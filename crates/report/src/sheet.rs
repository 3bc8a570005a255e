//! The data that every section of the page needs: the requested days, and remarks about each.

use std::collections::BTreeMap;

use aggregation::catalogue::Catalogue;
use aggregation::raw::Context;
use chrono::NaiveDate;
use maud::{Markup, html};
use store::{DayRow, DaysBefore, UserDays, UserReport};

use super::chart::{Chart, Foot, Frame, Slots};
use super::steps::Step;
use super::text;
use super::units::{GlucoseUnit, Shown};
use wording::{counted, thousands};

/// The maximum number of rows of tables that are open; longer tables would push the charts apart.
const MOST_OPEN: usize = 7;

/// The maximum number of rows of tables that are printed; a longer print would be a book.
const MOST_PRINTED: usize = 31;

/// The requested days of a user, laid out.
#[derive(Clone, Debug)]
pub struct Sheet<'s> {
    /// The stored data, in the units of the catalogue.
    pub report: &'s UserReport,
    /// The figures of each day.
    pub daily: &'s UserDays,
    /// The figures that are drawn: of each day, or of each week or month.
    pub days: &'s UserDays,
    /// The figures of the days before.
    pub before: &'s DaysBefore,
    /// The unit of glucose.
    pub glucose_unit: GlucoseUnit,
    /// Titles, units and styles of metrics.
    pub catalogue: &'s Catalogue,
    /// The days, weeks or months that are drawn.
    pub slots: Slots,
    /// The days, for single readings and results.
    pub day_slots: Slots,
    /// What one of the slots is.
    pub step: Step,
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
    pub cells: Vec<Cell>,
    /// Remarks about the day.
    pub notes: String,
}

/// A figure in a table. The numbers of a column have the same number of decimals.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Text that is already written.
    Text(String),
    /// A number; the column decides its decimals.
    Number(Option<f64>),
    /// A number with at most this number of decimals.
    Places(Option<f64>, usize),
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<'s> Sheet<'s> {
    /// Lays out the stored data; `days` are the figures of `shown` by `step`.
    pub fn new(
        report: &'s UserReport,
        shown: &'s Shown,
        (days, step): (&'s UserDays, Step),
        catalogue: &'s Catalogue,
    ) -> Self {
        let daily = &shown.days;
        let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
        for day in all_days(daily) {
            *zones.entry(day.time_zone.as_str()).or_default() += 1;
        }
        let most = zones.iter().max_by_key(|(_, rows)| **rows);
        let zone = daily.profile_zone.as_deref().filter(|zone| zones.contains_key(zone));
        let zone = zone.or(most.map(|(zone, _)| *zone)).map(ToOwned::to_owned);
        let (from, to) = (daily.from, daily.to);
        let day_slots = Slots::days(from, to);
        let slots = match step {
            Step::Day => day_slots.clone(),
            _ => Slots::Steps(step.starts(from, to), step),
        };
        Self {
            report,
            daily,
            days,
            before: &shown.before,
            glucose_unit: shown.glucose,
            catalogue,
            slots,
            day_slots,
            step,
            zone,
        }
    }

    /// The inputs by which raw rows are judged.
    pub fn context(&self) -> Context<'_> {
        Context {
            catalogue: self.catalogue,
            base_zone: &self.report.base_zone,
            source_order: &self.daily.source_priority,
        }
    }

    /// Whether a single day was requested.
    pub fn is_one_day(&self) -> bool {
        self.day_slots.count() == 1
    }

    /// The frame of the main charts: full page width, except for a single day.
    pub fn main_frame(&self) -> Frame {
        if self.is_one_day() { Frame::SMALL } else { Frame::WIDE }
    }

    /// The rows by slot; `None` for a slot without a row.
    pub fn by_slot<'r, R>(
        &self,
        slots: &Slots,
        rows: impl IntoIterator<Item = &'r R>,
        date: impl Fn(&R) -> NaiveDate,
    ) -> Vec<Option<&'r R>> {
        let mut by_slot = vec![None; slots.count()];
        for row in rows {
            let slot = slots.index_of(date(row)).and_then(|index| by_slot.get_mut(index));
            if let Some(slot) = slot {
                *slot = Some(row);
            }
        }
        by_slot
    }

    /// The rows by the slots that are drawn.
    pub fn by_step<'r, R>(
        &self,
        rows: impl IntoIterator<Item = &'r R>,
        date: impl Fn(&R) -> NaiveDate,
    ) -> Vec<Option<&'r R>> {
        self.by_slot(&self.slots, rows, date)
    }

    /// The summary of a chart: the number of days with figures, unless a single day was requested,
    /// and the figures.
    pub fn says(&self, days: usize, what: impl IntoIterator<Item = String>) -> String {
        let all = self.day_slots.count() as i64;
        let of_all = format!("{} of {} days", thousands(days as i64), thousands(all));
        let of_all = (!self.is_one_day()).then_some(of_all);
        of_all.into_iter().chain(what).collect::<Vec<_>>().join("; ")
    }

    /// `on average`, unless a single day was requested.
    pub fn on_average(&self) -> &'static str {
        if self.is_one_day() { "" } else { " a day on average" }
    }

    /// ` by day`, ` by week` or ` by month`.
    pub fn by(&self) -> String {
        format!(" by {}", self.step.name())
    }

    /// `1 March 2024 to 31 March 2024`.
    pub fn when(&self) -> String {
        text::span(self.daily.from, self.daily.to)
    }

    /// The name of a slot that begins with this date.
    pub fn name_of(&self, date: NaiveDate) -> String {
        match self.step {
            Step::Day => text::short_date(date),
            Step::Week => format!("Week of {}", date.format("%-d %b %Y")),
            Step::Month => date.format("%B %Y").to_string(),
        }
    }

    /// The remarks about a day, in words.
    pub fn notes(&self, day: &DayRow, more: impl IntoIterator<Item = Option<String>>) -> String {
        let partial = day.is_partial.then(|| match self.step {
            Step::Day => "day had not ended".to_owned(),
            _ => "a day had not ended".to_owned(),
        });
        let rejected = day.rejected.filter(|rows| *rows > 0);
        let rejected =
            rejected.map(|rows| format!("{} rejected", counted(rows.into(), "row", "rows")));
        // A week or month has no zone of its own.
        let is_of_zone = |zone: &String| *zone == day.time_zone || day.time_zone.is_empty();
        let elsewhere = self.zone.as_ref().is_some_and(|zone| !is_of_zone(zone));
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

    /// The row of a day, week or month.
    pub fn row(&self, date: NaiveDate, cells: Vec<Cell>, notes: String) -> TableRow {
        TableRow { when: self.name_of(date), cells, notes }
    }

    /// A table of days, behind a line that opens it.
    pub fn table(&self, table: &DayTable<'_>) -> Markup {
        let left_out = self.slots.count().saturating_sub(table.rows.len());
        let written = written(&table.rows);
        let step = self.step.name();
        html! {
            details.figures open[self.opens_tables()] {
                summary { "Figures: " (table.caption) }
                (scrollable(&table.caption, &html! {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Date" }
                                @for head in table.head { th.number scope="col" { (head) } }
                                th scope="col" { "Notes" }
                            }
                        }
                        tbody {
                            @for (row, cells) in table.rows.iter().zip(&written) {
                                tr {
                                    th scope="row" { (row.when) }
                                    @for cell in cells { td.number { (cell) } }
                                    td.notes { (row.notes) }
                                }
                            }
                        }
                    }
                }))
                @if left_out > 0 && !self.is_one_day() {
                    p.small { (counted(left_out as i64, step, &format!("{step}s"))) " without data left out." }
                }
            }
        }
    }
}

/// The cells as text, column by column.
fn written(rows: &[TableRow]) -> Vec<Vec<String>> {
    let columns = rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    let mut written = vec![Vec::with_capacity(columns); rows.len()];
    for at in 0..columns {
        let cells = || rows.iter().map(|row| row.cells.get(at));
        let number = |cell: Option<&Cell>| match cell {
            Some(Cell::Number(value) | Cell::Places(value, _)) => *value,
            _ => None,
        };
        let numbers: Vec<Option<f64>> = cells().map(number).collect();
        let most = cells().find_map(|cell| match cell {
            Some(Cell::Places(_, places)) => Some(*places),
            _ => None,
        });
        let numbers = text::column(&numbers, most);
        for ((cell, number), row) in cells().zip(numbers).zip(&mut written) {
            row.push(match cell {
                Some(Cell::Text(text)) => text.clone(),
                _ => number,
            });
        }
    }
    written
}

/// Content that scrolls in itself on a narrow screen, also by the keyboard.
pub fn scrollable(label: &str, content: &Markup) -> Markup {
    html! { div.wide role="region" aria-label=(label) tabindex="0" { (content) } }
}

/// The remarks about a day that are drawn below a chart.
pub fn foot(day: &DayRow) -> Foot {
    Foot { partial: day.is_partial, rejected: day.rejected.is_some_and(|rows| rows > 0) }
}

/// The remarks for each slot.
pub fn feet<'r, R: 'r>(rows: &[Option<&'r R>], day: impl Fn(&'r R) -> &'r DayRow) -> Vec<Foot> {
    rows.iter().map(|row| row.map(|row| foot(day(row))).unwrap_or_default()).collect()
}

/// All stored days of all tables.
pub fn all_days(days: &UserDays) -> impl Iterator<Item = &DayRow> {
    let vitals = days.vitals.iter().map(|row| &row.day);
    let sleep = days.sleep.iter().map(|row| &row.day);
    let pressure = days.blood_pressure.iter().map(|row| &row.day);
    let glucose = days.glucose.iter().map(|row| &row.day);
    let nutrition = days.nutrition.iter().map(|row| &row.day);
    let labs = days.labs.iter().map(|row| &row.day);
    vitals.chain(sleep).chain(pressure).chain(glucose).chain(nutrition).chain(labs)
}

/// A chart with its heading, summary and legend. It is drawn twice: for the page's width, and for a
/// narrow screen, on which the first one's texts would be too small. The style shows one of them.
pub fn figure<'c>(
    chart: &Chart<'c>,
    (heading, unit): (&str, &str),
    says: &str,
    draw: impl Fn(&Chart<'c>) -> Markup,
    legend: &Markup,
) -> Markup {
    html! {
        figure.(if chart.frame.is_wide() { "across" } else { "beside" }) {
            figcaption {
                strong { (heading) }
                @if !unit.is_empty() { span.unit { ", " (unit) } }
                @if !says.is_empty() { span.says { (says) } }
            }
            div.roomy { (draw(chart)) }
            div.narrow { (draw(&chart.narrow())) }
            (legend)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_column_have_the_same_number_of_decimals() {
        let row = |first: f64, second: Option<f64>, third: &str| TableRow {
            when: String::new(),
            cells: vec![
                Cell::Number(Some(first)),
                Cell::Places(second, 1),
                Cell::Text(third.to_owned()),
            ],
            notes: String::new(),
        };
        let rows = [row(71.0, Some(12.34), "7:05"), row(9.25, Some(8.0), "–"), row(60.5, None, "")];
        assert_eq!(
            written(&rows),
            [["71.0", "12.3", "7:05"], ["9.2", "8.0", "–"], ["60.5", "–", ""]]
        );
    }
}
