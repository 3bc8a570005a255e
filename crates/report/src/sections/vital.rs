//! One metric: its days, or the hours of a single day.

use std::collections::BTreeMap;

use aggregation::catalogue::AggregationStyle;
use aggregation::local_time::Zone;
use maud::{Markup, html};
use store::{VitalDay, VitalHour};

use crate::chart::{
    Chart, Column, Fill, Foot, Frame, Level, Part, Scale, Series, Shape, Sign, Slots, columns,
    legend, levels,
};
use crate::sheet::{Cell, DayTable, Sheet, TableRow, figure, foot};
use crate::steps::{self, Step};
use crate::text;
use wording::{counted, thousands};

/// A metric and its days, in the order of their dates.
#[derive(Clone, Debug)]
pub struct Vital<'v> {
    /// The name in the catalogue.
    pub metric: &'v str,
    /// UCUM unit of the figures.
    pub unit: &'v str,
    /// Its days, weeks or months.
    rows: Vec<&'v VitalDay>,
    /// Its days.
    daily: Vec<&'v VitalDay>,
}

/// A day or an hour of a metric, as it is drawn.
#[derive(Clone, Debug, Default)]
struct Point {
    when: String,
    samples: i32,
    total: Option<f64>,
    mean: Option<f64>,
    range: Option<(f64, f64)>,
    half: Option<(f64, f64)>,
    foot: Foot,
}

/// The metrics with a figure on one of the days, once for each stored unit.
pub fn all<'v>(sheet: &Sheet<'v>) -> Vec<Vital<'v>> {
    let mut vitals: BTreeMap<(&str, &str), Vital<'v>> = BTreeMap::new();
    for row in &sheet.days.vitals {
        let (metric, unit) = (row.metric.as_str(), row.unit.as_str());
        let new = || Vital { metric, unit, rows: Vec::new(), daily: Vec::new() };
        vitals.entry((metric, unit)).or_insert_with(new).rows.push(row);
    }
    for row in &sheet.daily.vitals {
        if let Some(vital) = vitals.get_mut(&(row.metric.as_str(), row.unit.as_str())) {
            vital.daily.push(row);
        }
    }
    vitals.into_values().filter(Vital::has_figures).collect()
}

impl<'v> Vital<'v> {
    fn has_figures(&self) -> bool {
        self.rows.iter().any(|row| row.total.or(row.mean).or(row.min).is_some())
    }

    /// Whether its amounts add up to a total.
    pub fn is_cumulative(&self, sheet: &Sheet<'_>) -> bool {
        match sheet.catalogue.metric(self.metric) {
            Some(metric) => metric.aggregation_style == AggregationStyle::Cumulative,
            None => self.rows.iter().any(|row| row.total.is_some()),
        }
    }

    /// The unit after its name; empty if the name says it, as for steps.
    fn shown_unit(&self) -> String {
        let unit = text::unit(self.unit);
        if unit == self.metric { String::new() } else { unit }
    }

    /// Its chart.
    pub fn chart(&self, sheet: &Sheet<'_>, frame: Frame) -> Markup {
        let hours = sheet.is_one_day().then(|| self.hours(sheet)).flatten();
        let (slots, points) = hours.unwrap_or_else(|| {
            let by_step = sheet.by_step(self.rows.iter().copied(), |row| row.day.date);
            let point = |row| self.point(sheet, row);
            (sheet.slots.clone(), by_step.into_iter().map(|row| row.map(point)).collect())
        });
        let feet: Vec<Foot> =
            points.iter().map(|point| point.as_ref().map(|p| p.foot).unwrap_or_default()).collect();
        let each = if matches!(slots, Slots::Hours(_)) { "hour" } else { sheet.step.name() };
        let is_cumulative = self.is_cumulative(sheet);
        let says = if is_cumulative { self.sum(sheet) } else { self.spread(sheet) };
        let scale = if is_cumulative {
            let totals = points.iter().flatten().filter_map(|point| point.total);
            Some(Scale::from_zero(totals.fold(0.0, f64::max)))
        } else {
            let values = points
                .iter()
                .flatten()
                .flat_map(|point| point.level(true, self).values().collect::<Vec<_>>());
            Scale::around(values)
        };
        let Some(scale) = scale else { return html! {} };
        let chart = Chart {
            id: format!("vital-{}", identifier(self.metric, self.unit)),
            title: format!("{} by {each}, {}", text::title(self.metric), sheet.when()),
            description: format!("{says}. The table of figures has the same in numbers."),
            frame,
            slots: &slots,
            scale,
            feet: &feet,
        };
        let with_half =
            frame.is_wide() && points.iter().flatten().any(|point| point.half.is_some());
        let of_a_day = if is_cumulative && each != "hour" && sheet.step != Step::Day {
            ", mean of a day"
        } else {
            ""
        };
        let heading = format!("{} by {each}{of_a_day}", text::title(self.metric));
        let unit = self.shown_unit();
        let heading = (heading.as_str(), unit.as_str());
        if is_cumulative {
            let drawn = self.columns(&points);
            let draw = |chart: &Chart<'_>| columns(chart, &drawn);
            return figure(&chart, heading, &says, draw, &legend(&[], &feet));
        }
        let levels_of = points.iter().map(|point| Some(point.as_ref()?.level(with_half, self)));
        let series = [Series { shape: Shape::Disc, levels: levels_of.collect(), over_gaps: false }];
        let draw = |chart: &Chart<'_>| levels(chart, &[], &series);
        figure(&chart, heading, &says, draw, &legend(&signs(&points, with_half, each), &feet))
    }

    /// The point of a day; of a week or month the mean of its days with a total.
    fn point(&self, sheet: &Sheet<'_>, row: &VitalDay) -> Point {
        let days = self.days_with_total(sheet, row);
        let total = row.total.filter(|_| days > 0).map(|total| total / days as f64);
        Point { when: sheet.name_of(row.day.date), total, ..Point::of_day(row) }
    }

    /// The number of days behind the total of a day, week or month.
    fn days_with_total(&self, sheet: &Sheet<'_>, row: &VitalDay) -> usize {
        let is_of_row = |day: &&&VitalDay| {
            sheet.step.start(day.day.date, sheet.daily.from) == row.day.date && day.total.is_some()
        };
        self.daily.iter().filter(is_of_row).count()
    }

    fn columns(&self, points: &[Option<Point>]) -> Vec<Option<Column>> {
        let unit = text::unit(self.unit);
        let column = |point: &Option<Point>| {
            let point = point.as_ref()?;
            let total = point.total?;
            let words = format!("{}: {} {unit}", point.when, text::number(total));
            Some(Column {
                parts: vec![Part { fill: Fill::TOTAL, value: total }],
                frame: None,
                words,
            })
        };
        points.iter().map(column).collect()
    }

    /// Its hours, if one day was requested and all of them are hours of the day's zone.
    fn hours(&self, sheet: &Sheet<'_>) -> Option<(Slots, Vec<Option<Point>>)> {
        let zone: Zone = self.rows.first()?.day.time_zone.parse().ok()?;
        let slots = Slots::hours(sheet.days.from, zone);
        let Slots::Hours(starts) = &slots else { return None };
        let mut points = vec![None; starts.len()];
        for hour in self.own_hours(sheet) {
            let index = starts.iter().position(|(start, _)| *start == hour.start)?;
            *points.get_mut(index)? = Some(Point::of_hour(hour));
        }
        points.iter().any(Option::is_some).then_some((slots, points))
    }

    fn own_hours<'h>(&self, sheet: &Sheet<'h>) -> impl Iterator<Item = &'h VitalHour> {
        let is_own = |hour: &&VitalHour| hour.metric == self.metric && hour.unit == self.unit;
        sheet.days.hours.iter().filter(is_own)
    }

    /// The summary of a cumulative metric.
    fn sum(&self, sheet: &Sheet<'_>) -> String {
        let totals: Vec<f64> = self.daily.iter().filter_map(|row| row.total).collect();
        let (days, sum) = (totals.len(), totals.iter().sum::<f64>());
        let unit = text::unit(self.unit);
        if sheet.is_one_day() {
            return format!("{} {unit} on this day", text::number(sum));
        }
        let least = totals.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = totals.iter().copied().fold(0.0, f64::max);
        let mean = text::number(sum / days.max(1) as f64);
        let (least, greatest) = (text::number(least), text::number(greatest));
        let what = format!("{mean} a day on average, least {least}, most {greatest}");
        sheet.says(days, [what])
    }

    /// The summary of a discrete metric, with the mean over all readings.
    fn spread(&self, sheet: &Sheet<'_>) -> String {
        let rows = || self.daily.iter();
        let days = rows().filter(|row| row.sample_count + row.censored_count > 0).count();
        let known = || rows().filter(|row| row.mean.is_some());
        let readings: i64 = known().map(|row| i64::from(row.sample_count)).sum();
        let mean = steps::mean(known().map(|row| (row.mean, f64::from(row.sample_count))));
        let least = rows().filter_map(|row| row.min).fold(f64::INFINITY, f64::min);
        let greatest = rows().filter_map(|row| row.max).fold(f64::NEG_INFINITY, f64::max);
        let mut what = counted(readings, "reading", "readings");
        if readings == 1 {
            what.push_str(&format!(": {}", text::optional(mean)));
        } else if readings > 1 {
            what.push_str(&format!(
                ", mean of all {}, least {}, greatest {}",
                text::optional(mean),
                text::number(least),
                text::number(greatest)
            ));
        }
        sheet.says(days, [what])
    }

    /// Its table: all figures, or those that fit beside a small chart.
    pub fn table(&self, sheet: &Sheet<'_>, is_wide: bool) -> Markup {
        let is_cumulative = self.is_cumulative(sheet);
        let is_by_day = sheet.step == Step::Day;
        let head: &[&str] = match (is_cumulative, is_wide, is_by_day) {
            (true, _, true) => &["Total", "Samples"],
            (true, _, false) => &["Total", "Days", "Mean of a day"],
            (false, true, true) => {
                &["Readings", "Mean", "SD", "Least", "25 %", "Median", "75 %", "Greatest"]
            }
            (false, true, false) => &["Readings", "Mean", "SD", "Least", "Greatest"],
            (false, false, _) => &["Readings", "Mean", "Least", "Greatest"],
        };
        let cells = |samples: i32, numbers: [Option<f64>; 7]| {
            let [mean, stddev, least, .., greatest] = numbers;
            let shown = match (is_wide, is_by_day) {
                (true, true) => numbers.to_vec(),
                (true, false) => vec![mean, stddev, least, greatest],
                (false, _) => vec![mean, least, greatest],
            };
            let samples = Cell::Text(thousands(i64::from(samples)));
            std::iter::once(samples).chain(shown.into_iter().map(Cell::Number)).collect()
        };
        let total = |samples: i32, total| {
            vec![Cell::Number(total), Cell::Text(thousands(i64::from(samples)))]
        };
        let rows = self.rows.iter().map(|row| {
            let censored = (row.censored_count > 0).then(|| {
                let readings = counted(row.censored_count.into(), "reading", "readings");
                format!("{readings} out of the sensor's range")
            });
            let numbers = [row.mean, row.stddev, row.min, row.p25, row.p50, row.p75, row.max];
            let cells = match (is_cumulative, is_by_day) {
                (true, true) => total(row.sample_count, row.total),
                (true, false) => {
                    let days = self.days_with_total(sheet, row);
                    let mean = row.total.filter(|_| days > 0).map(|total| total / days as f64);
                    let days = Cell::Text(thousands(days as i64));
                    vec![Cell::Number(row.total), days, Cell::Number(mean)]
                }
                (false, _) => cells(row.sample_count, numbers),
            };
            sheet.row(row.day.date, cells, sheet.notes(&row.day, [censored]))
        });
        let hours = self.own_hours(sheet).map(|row| {
            let numbers = [row.mean, row.stddev, row.min, row.p25, row.p50, row.p75, row.max];
            TableRow {
                when: format!("from {}", text::clock(row.start, &row.time_zone)),
                cells: match is_cumulative {
                    true => total(row.sample_count, row.total),
                    false => cells(row.sample_count, numbers),
                },
                notes: String::new(),
            }
        });
        let rows = rows.chain(hours).collect();
        let (name, unit) = (text::name(self.metric), self.shown_unit());
        let in_unit = if unit.is_empty() { unit } else { format!(", {unit}") };
        sheet.table(&DayTable { caption: format!("{name}{in_unit}"), head, rows })
    }
}

impl Point {
    fn of_day(row: &VitalDay) -> Self {
        Self {
            when: text::short_date(row.day.date),
            samples: row.sample_count,
            total: row.total,
            mean: row.mean,
            range: row.min.zip(row.max),
            half: row.p25.zip(row.p75),
            foot: foot(&row.day),
        }
    }

    fn of_hour(hour: &VitalHour) -> Self {
        Self {
            when: text::clock(hour.start, &hour.time_zone),
            samples: hour.sample_count,
            total: hour.total,
            mean: hour.mean,
            range: hour.min.zip(hour.max),
            half: hour.p25.zip(hour.p75),
            foot: Foot::default(),
        }
    }

    fn level(&self, with_half: bool, of: &Vital<'_>) -> Level {
        let spreads = |(low, high): &(f64, f64)| low < high;
        let mut words = format!("{}: ", self.when);
        if let Some(mean) = self.mean {
            words.push_str(&format!("mean {} {}, ", text::number(mean), text::unit(of.unit)));
        }
        if let Some((low, high)) = self.range.filter(spreads) {
            words.push_str(&format!("{} to {}, ", text::number(low), text::number(high)));
        }
        words.push_str(&counted(self.samples.into(), "reading", "readings"));
        Level {
            range: self.range.filter(spreads).or(self.range.filter(|_| self.mean.is_none())),
            half: self.half.filter(spreads).filter(|_| with_half),
            value: self.mean,
            words,
            ..Level::default()
        }
    }
}

fn signs(points: &[Option<Point>], with_half: bool, each: &str) -> Vec<(Sign, &'static str)> {
    let has_range = points.iter().flatten().any(|point| point.range.is_some_and(|(a, b)| a < b));
    let mut signs = vec![match each {
        "hour" => (Sign::Mark(Shape::Disc), "mean of the hour"),
        "week" => (Sign::Mark(Shape::Disc), "mean of the week"),
        "month" => (Sign::Mark(Shape::Disc), "mean of the month"),
        _ => (Sign::Mark(Shape::Disc), "mean of the day"),
    }];
    if has_range {
        signs.push((Sign::Range, "least to greatest"));
    }
    if has_range && with_half {
        signs.push((Sign::Half, "middle half of the readings (25 to 75 %)"));
    }
    signs
}

/// An identifier of letters and digits, unique for each metric and unit of a page.
fn identifier(metric: &str, unit: &str) -> String {
    let mut identifier = String::new();
    for byte in metric.bytes().chain(*b"-").chain(unit.bytes()) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => identifier.push(char::from(byte)),
            _ => identifier.push_str(&format!("_{byte:02x}")),
        }
    }
    identifier
}
