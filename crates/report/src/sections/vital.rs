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
use crate::sheet::{DayTable, Sheet, TableRow, figure, foot};
use crate::text;
use wording::{counted, thousands};

/// A metric and its days, in the order of their dates.
#[derive(Clone, Debug)]
pub struct Vital<'v> {
    /// The name in the catalogue.
    pub metric: &'v str,
    /// UCUM unit of the figures.
    pub unit: &'v str,
    rows: Vec<&'v VitalDay>,
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
    let mut vitals: BTreeMap<(&str, &str), Vec<&VitalDay>> = BTreeMap::new();
    for row in &sheet.days.vitals {
        vitals.entry((&row.metric, &row.unit)).or_default().push(row);
    }
    let vital = |((metric, unit), rows)| Vital { metric, unit, rows };
    vitals.into_iter().map(vital).filter(Vital::has_figures).collect()
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
            let by_day = sheet.by_day(self.rows.iter().copied(), |row| row.day.date);
            let points = by_day.into_iter().map(|row| row.map(Point::of_day)).collect();
            (sheet.slots.clone(), points)
        });
        let feet: Vec<Foot> =
            points.iter().map(|point| point.as_ref().map(|p| p.foot).unwrap_or_default()).collect();
        let each = if matches!(slots, Slots::Hours(_)) { "hour" } else { "day" };
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
        let with_half = frame.is_wide();
        let (drawing, signs) = if is_cumulative {
            (columns(&chart, &self.columns(&points)), vec![])
        } else {
            let levels_of = points.iter().map(|point| Some(point.as_ref()?.level(with_half, self)));
            let series =
                Series { shape: Shape::Disc, levels: levels_of.collect(), over_gaps: false };
            (levels(&chart, &[], &[series]), signs(&points, with_half, each))
        };
        let legend = legend(&signs, &feet);
        let heading = format!("{} by {each}", text::title(self.metric));
        figure(frame, &heading, &self.shown_unit(), &says, &drawing, &legend)
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
        let totals: Vec<f64> = self.rows.iter().filter_map(|row| row.total).collect();
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
        let days = self.rows.iter().filter(|row| row.sample_count + row.censored_count > 0).count();
        let known = || self.rows.iter().filter(|row| row.mean.is_some());
        let readings: i64 = known().map(|row| i64::from(row.sample_count)).sum();
        let sum: f64 =
            known().filter_map(|row| Some(row.mean? * f64::from(row.sample_count))).sum();
        let least = self.rows.iter().filter_map(|row| row.min).fold(f64::INFINITY, f64::min);
        let greatest = self.rows.iter().filter_map(|row| row.max).fold(f64::NEG_INFINITY, f64::max);
        let mut what = counted(readings, "reading", "readings");
        if readings == 1 {
            what.push_str(&format!(": {}", text::number(sum)));
        } else if readings > 1 {
            what.push_str(&format!(
                ", mean of all {}, least {}, greatest {}",
                text::number(sum / readings as f64),
                text::number(least),
                text::number(greatest)
            ));
        }
        sheet.says(days, [what])
    }

    /// Its table: all figures, or those that fit beside a small chart.
    pub fn table(&self, sheet: &Sheet<'_>, is_wide: bool) -> Markup {
        let is_cumulative = self.is_cumulative(sheet);
        let head: &[&str] = match (is_cumulative, is_wide) {
            (true, _) => &["Total", "Samples"],
            (false, true) => {
                &["Readings", "Mean", "SD", "Least", "25 %", "Median", "75 %", "Greatest"]
            }
            (false, false) => &["Readings", "Mean", "Least", "Greatest"],
        };
        let cells = |samples: i32, total, numbers: [Option<f64>; 7]| {
            let samples = thousands(i64::from(samples));
            if is_cumulative {
                return vec![text::optional(total), samples];
            }
            let [mean, _, least, .., greatest] = numbers;
            let few = [mean, least, greatest];
            let shown: &[Option<f64>] = if is_wide { &numbers } else { &few };
            let shown = shown.iter().map(|number| text::optional(*number));
            std::iter::once(samples).chain(shown).collect()
        };
        let days = self.rows.iter().map(|row| {
            let censored = (row.censored_count > 0).then(|| {
                let readings = counted(row.censored_count.into(), "reading", "readings");
                format!("{readings} out of the sensor's range")
            });
            let numbers = [row.mean, row.stddev, row.min, row.p25, row.p50, row.p75, row.max];
            let cells = cells(row.sample_count, row.total, numbers);
            TableRow::new(row.day.date, cells, sheet.notes(&row.day, [censored]))
        });
        let hours = self.own_hours(sheet).map(|row| {
            let numbers = [row.mean, row.stddev, row.min, row.p25, row.p50, row.p75, row.max];
            TableRow {
                when: format!("from {}", text::clock(row.start, &row.time_zone)),
                cells: cells(row.sample_count, row.total, numbers),
                notes: String::new(),
            }
        });
        let rows = days.chain(hours);
        let (name, unit) = (text::name(self.metric), self.shown_unit());
        let in_unit = if unit.is_empty() { unit } else { format!(", {unit}") };
        sheet.table(&DayTable { caption: format!("{name}{in_unit}"), head, rows: rows.collect() })
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
