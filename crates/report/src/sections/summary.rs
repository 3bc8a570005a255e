//! What has changed against the days before, in words and numbers. It judges nothing.

use aggregation::local_time::Zone;
use maud::{Markup, html};
use store::{BloodPressureDay, GlucoseDay, LabResults, PeriodLength, SleepNight, VitalDay};

use super::glucose::all_bands;
use super::reported::flagged;
use super::{Section, section};
use crate::sheet::Sheet;
use crate::steps;
use crate::text;
use crate::units::GlucoseUnit;
use wording::counted;

/// Fewest days with a measurement for the mean of what is not measured each day.
const FEWEST_MEASURED: usize = 3;

/// The metrics of the summary: name, decimals, and how it is measured.
const METRICS: [(&str, usize, Measured); 9] = [
    ("resting_heart_rate", 1, Measured::Daily),
    ("heart_rate_variability_sdnn", 1, Measured::Daily),
    ("steps", 0, Measured::Total),
    ("distance_walking_running", 1, Measured::Total),
    ("exercise_time", 0, Measured::Total),
    ("active_energy", 0, Measured::Total),
    ("body_mass", 1, Measured::Sometimes),
    ("body_fat_percentage", 1, Measured::Sometimes),
    ("vo2_max", 1, Measured::Sometimes),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Measured {
    /// An amount of each day.
    Total,
    /// A level that is measured each day.
    Daily,
    /// A level that is measured from time to time.
    Sometimes,
}

/// A mean over some days.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mean {
    value: Option<f64>,
    /// Days with a figure.
    days: usize,
}

/// A mean of both spans.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Both {
    now: Mean,
    before: Mean,
}

/// A number of days of either span.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spans {
    now: usize,
    before: usize,
}

/// A figure of the summary.
struct Item {
    name: String,
    /// The unit with the space before it, such as ` kg`.
    unit: String,
    write: fn(f64, usize) -> String,
    places: usize,
    /// Whether more and less of it are said, not higher and lower.
    is_amount: bool,
    measured: Measured,
    /// A figure, or several with a name each.
    parts: Vec<(&'static str, Both)>,
}

/// The section.
pub fn summary(sheet: &Sheet<'_>) -> Section {
    let spans = Spans { now: elapsed(sheet), before: days_of(sheet.before.from, sheet.before.to) };
    let items = items(sheet);
    let content = html! {
        p.small { "Compared with " (before(sheet)) ". " (rule(spans)) }
        @if items.is_empty() {
            p { "These days have no figure to compare." }
        } @else {
            ul.changes {
                @for item in &items {
                    li {
                        span.name { (item.name) }
                        strong.now { (item.now()) }
                        @for words in item.changes(spans) { span.change { (words) } }
                    }
                }
            }
        }
        (results(&sheet.daily.labs, |analyte| name_of(sheet, analyte)))
    };
    section("summary", "What has changed", content)
}

/// The days of the span that have begun.
fn elapsed(sheet: &Sheet<'_>) -> usize {
    let own = sheet.zone.as_deref().and_then(|zone| zone.parse::<Zone>().ok());
    let zone = own.or(sheet.report.base_zone.as_ref().ok().copied());
    let today = zone.map_or(sheet.daily.to, |zone| zone.date_of(sheet.daily.as_of));
    days_of(sheet.daily.from, sheet.daily.to.min(today.max(sheet.daily.from)))
}

fn days_of(from: chrono::NaiveDate, to: chrono::NaiveDate) -> usize {
    usize::try_from((to - from).num_days() + 1).unwrap_or(1)
}

/// The name of the days before.
fn before(sheet: &Sheet<'_>) -> String {
    let span = text::span(sheet.before.from, sheet.before.to);
    match sheet.report.length {
        Some(PeriodLength::Week) => format!("the week before, {span}"),
        Some(PeriodLength::Month) => format!("the month before, {span}"),
        Some(PeriodLength::Year) => format!("the year before, {span}"),
        None if sheet.before.from == sheet.before.to => format!("the day before, {span}"),
        None => {
            let days = days_of(sheet.before.from, sheet.before.to);
            format!("the {days} days before, {span}")
        }
    }
}

fn rule(spans: Spans) -> String {
    if spans.before == 1 {
        return String::new();
    }
    format!(
        "A change needs figures on half of the days of both; of what is measured from time to time, on {}.",
        counted(few(spans.before) as i64, "day", "days")
    )
}

/// The days with a measurement that a mean of a span needs.
fn few(days: usize) -> usize {
    FEWEST_MEASURED.min(days)
}

impl Measured {
    fn needed(self, days: usize) -> usize {
        match self {
            Self::Total | Self::Daily => days.div_ceil(2),
            Self::Sometimes => few(days),
        }
    }
}

fn items(sheet: &Sheet<'_>) -> Vec<Item> {
    let mut items: Vec<Item> = METRICS
        .iter()
        .filter_map(|(metric, places, of)| vital(sheet, metric, *places, *of))
        .collect();
    let at = items.iter().take_while(|item| item.measured == Measured::Daily).count();
    let others = [sleep(sheet), mean_glucose(sheet), time_in_range(sheet), pressure(sheet)];
    items.splice(at..at, others.into_iter().flatten().filter(Item::is_known));
    items.extend(energy(sheet).filter(Item::is_known));
    items
}

fn vital(sheet: &Sheet<'_>, metric: &str, places: usize, measured: Measured) -> Option<Item> {
    let unit =
        sheet.daily.vitals.iter().chain(&sheet.before.vitals).find(|d| d.metric == metric)?;
    let unit = unit.unit.clone();
    let mean = |rows: &[VitalDay]| {
        let of_metric = rows.iter().filter(|row| row.metric == metric && row.unit == unit);
        mean_of(of_metric, measured)
    };
    let both = Both { now: mean(&sheet.daily.vitals), before: mean(&sheet.before.vitals) };
    let written = text::unit(&unit);
    let of_a_day = if measured == Measured::Total { " a day" } else { "" };
    // The name says it, as for steps.
    let unit = if written.is_empty() || written == metric {
        of_a_day.to_owned()
    } else {
        format!(" {written}{of_a_day}")
    };
    let item = Item {
        name: text::title(metric),
        unit,
        write: text::fixed,
        places,
        is_amount: measured == Measured::Total,
        measured,
        parts: vec![("", both)],
    };
    item.is_known().then_some(item)
}

fn mean_of<'r>(rows: impl Iterator<Item = &'r VitalDay> + Clone, measured: Measured) -> Mean {
    if measured == Measured::Total {
        // The total of a day that had not ended is less than that of the whole day.
        let totals = rows.filter(|row| !row.day.is_partial).filter_map(|row| row.total);
        return of_days(totals.map(|total| (total, 1.0)));
    }
    of_days(rows.filter_map(|row| Some((row.mean?, f64::from(row.sample_count)))))
}

/// The mean of the figures of some days, each with its weight.
fn of_days(figures: impl Iterator<Item = (f64, f64)> + Clone) -> Mean {
    let days = figures.clone().count();
    Mean { value: steps::mean(figures.map(|(value, weight)| (Some(value), weight))), days }
}

fn sleep(sheet: &Sheet<'_>) -> Option<Item> {
    let mean = |nights: &[SleepNight]| {
        of_days(nights.iter().filter_map(|night| Some((night.asleep?, 1.0))))
    };
    Some(Item {
        name: "Sleep".to_owned(),
        unit: " a night".to_owned(),
        write: |minutes, _| text::duration(Some(minutes)),
        places: 0,
        is_amount: true,
        measured: Measured::Daily,
        parts: vec![(
            "",
            Both { now: mean(&sheet.daily.sleep), before: mean(&sheet.before.sleep) },
        )],
    })
}

fn glucose_item(sheet: &Sheet<'_>, mean: impl Fn(&[GlucoseDay]) -> Mean) -> Item {
    Item {
        name: "Glucose, mean".to_owned(),
        unit: format!(" {}", sheet.glucose_unit.ucum()),
        write: text::fixed,
        places: if sheet.glucose_unit == GlucoseUnit::MmolPerL { 1 } else { 0 },
        is_amount: false,
        measured: Measured::Daily,
        parts: vec![(
            "",
            Both { now: mean(&sheet.daily.glucose), before: mean(&sheet.before.glucose) },
        )],
    }
}

fn mean_glucose(sheet: &Sheet<'_>) -> Option<Item> {
    let weighted = |row: &GlucoseDay| Some((row.mean?, f64::from(row.sample_count)));
    Some(glucose_item(sheet, |rows| of_days(rows.iter().filter_map(weighted))))
}

fn time_in_range(sheet: &Sheet<'_>) -> Option<Item> {
    let mean = |rows: &[GlucoseDay]| Mean {
        value: all_bands(rows).map(|bands| bands[2]),
        days: rows.iter().filter(|row| row.in_range.is_some()).count(),
    };
    let name = match sheet.glucose_unit {
        GlucoseUnit::MgPerDl => "Glucose, readings from 70 to 180",
        GlucoseUnit::MmolPerL => "Glucose, readings from 3.9 to 10.0",
    };
    let item = glucose_item(sheet, mean);
    Some(Item { name: name.to_owned(), unit: " %".to_owned(), places: 1, ..item })
}

fn pressure(sheet: &Sheet<'_>) -> Option<Item> {
    let mean = |rows: &[BloodPressureDay], of: fn(&BloodPressureDay) -> [Option<f64>; 3]| {
        let exact = |row: &BloodPressureDay| f64::from(row.pair_count - row.censored_count);
        of_days(rows.iter().filter_map(|row| Some((of(row)[0]?, exact(row)))))
    };
    let both = |of: fn(&BloodPressureDay) -> [Option<f64>; 3]| Both {
        now: mean(&sheet.daily.blood_pressure, of),
        before: mean(&sheet.before.blood_pressure, of),
    };
    Some(Item {
        name: "Blood pressure".to_owned(),
        unit: " mmHg".to_owned(),
        write: text::fixed,
        places: 0,
        is_amount: false,
        measured: Measured::Sometimes,
        parts: vec![
            ("systolic", both(|row| row.systolic)),
            ("diastolic", both(|row| row.diastolic)),
        ],
    })
}

fn energy(sheet: &Sheet<'_>) -> Option<Item> {
    let at = aggregation::nutrition::NUTRIENTS.iter().position(|name| *name == "energy_kcal")?;
    let mean = |rows: &[store::NutritionSums]| {
        let ended = rows.iter().filter(|row| !row.day.is_partial);
        of_days(ended.filter_map(|row| Some((row.nutrients.get(at).copied().flatten()?, 1.0))))
    };
    Some(Item {
        name: "Energy of meals".to_owned(),
        unit: " kcal a day".to_owned(),
        write: text::fixed,
        places: 0,
        is_amount: true,
        measured: Measured::Total,
        parts: vec![(
            "",
            Both { now: mean(&sheet.daily.nutrition), before: mean(&sheet.before.nutrition) },
        )],
    })
}

impl Item {
    /// Whether either span has a figure.
    fn is_known(&self) -> bool {
        self.parts.iter().any(|(_, of)| of.now.value.or(of.before.value).is_some())
    }

    /// The figure of the days, such as `121/76 mmHg`.
    fn now(&self) -> String {
        let write = |value: f64| (self.write)(self.rounded(value), self.places);
        let values: Option<Vec<String>> =
            self.parts.iter().map(|(_, of)| of.now.value.map(write)).collect();
        match values {
            Some(values) => format!("{}{}", values.join("/"), self.unit),
            None => "no figure".to_owned(),
        }
    }

    /// The value as it is shown.
    fn rounded(&self, value: f64) -> f64 {
        format!("{value:.*}", self.places).parse().unwrap_or(value)
    }

    /// The change of each part, in words.
    fn changes(&self, spans: Spans) -> Vec<String> {
        let needed = [self.measured.needed(spans.now), self.measured.needed(spans.before)];
        let few = self.parts.iter().find(|(_, of)| {
            of.now.value.is_none()
                || of.before.value.is_none()
                || of.now.days < needed[0]
                || of.before.days < needed[1]
        });
        if let Some((_, of)) = few {
            return vec![format!(
                "too little data to compare: figures on {} of {}, before on {} of {}",
                of.now.days,
                counted(spans.now as i64, "day", "days"),
                of.before.days,
                spans.before,
            )];
        }
        self.parts.iter().filter_map(|(name, of)| self.change(name, *of)).collect()
    }

    /// The change of a part. Both figures are rounded first, so that the change is that of the numbers
    /// shown.
    fn change(&self, name: &str, of: Both) -> Option<String> {
        let (now, before) = (self.rounded(of.now.value?), self.rounded(of.before.value?));
        let difference = self.rounded(now - before);
        let label = if name.is_empty() { String::new() } else { format!("{name} ") };
        let write = |value: f64| (self.write)(value, self.places);
        if difference == 0.0 {
            return Some(format!("{label}= unchanged, before {}", write(before)));
        }
        let (sign, word) = match (difference > 0.0, self.is_amount) {
            (true, true) => ("▲", "more"),
            (false, true) => ("▼", "less"),
            (true, false) => ("▲", "higher"),
            (false, false) => ("▼", "lower"),
        };
        let percent = (self.is_amount && before > 0.0)
            .then(|| format!(" ({} %)", text::fixed(100.0 * difference.abs() / before, 0)));
        Some(format!(
            "{label}{sign} {} {word}{}, before {}",
            write(difference.abs()),
            percent.unwrap_or_default(),
            write(before),
        ))
    }
}

/// The names of analytes are those of the laboratories.
fn name_of(sheet: &Sheet<'_>, analyte: &str) -> String {
    let known = sheet.daily.lab_names.get(analyte).map(|name| name.test_name.trim().to_owned());
    known.filter(|name| !name.is_empty()).unwrap_or_else(|| analyte.to_owned())
}

/// The flags of the latest result of each analyte.
fn results(rows: &[LabResults], name: impl Fn(&str) -> String) -> Markup {
    let mut latest: Vec<&LabResults> = Vec::new();
    for row in rows {
        match latest.last_mut() {
            Some(last) if (&last.analyte, &last.unit) == (&row.analyte, &row.unit) => *last = row,
            _ => latest.push(row),
        }
    }
    let flagged_rows: Vec<String> = latest
        .iter()
        .filter_map(|row| Some((row, row.last_flag.as_deref().filter(|flag| *flag != "N")?)))
        .map(|(row, flag)| format!("{} {}", name(&row.analyte), flagged(flag)))
        .collect();
    html! {
        @if !latest.is_empty() {
            p {
                "Laboratory results: " (counted(latest.len() as i64, "test", "tests")) ", "
                @if flagged_rows.is_empty() {
                    "none of the latest results is flagged."
                } @else {
                    (flagged_rows.len()) " flagged by the laboratory or by the range printed with the result: "
                    (flagged_rows.join("; ")) "."
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(measured: Measured, now: (f64, usize), before: (f64, usize)) -> Item {
        let mean = |(value, days): (f64, usize)| Mean { value: Some(value), days };
        Item {
            name: "Steps".to_owned(),
            unit: " a day".to_owned(),
            write: text::fixed,
            places: 0,
            is_amount: measured == Measured::Total,
            measured,
            parts: vec![("", Both { now: mean(now), before: mean(before) })],
        }
    }

    const WEEK: Spans = Spans { now: 7, before: 7 };

    #[test]
    fn more_less_and_the_same_are_said_of_the_numbers_that_are_shown() {
        let said = |now, before| item(Measured::Total, (now, 7), (before, 7)).changes(WEEK);
        assert_eq!(said(8_123.4, 6_919.6), ["▲ 1,203 more (17 %), before 6,920"]);
        assert_eq!(said(6_919.6, 8_123.4), ["▼ 1,203 less (15 %), before 8,123"]);
        assert_eq!(said(8_123.4, 8_122.6), ["= unchanged, before 8,123"]);
        let level = Item { places: 1, ..item(Measured::Daily, (61.25, 4), (60.0, 4)) };
        assert_eq!(level.changes(WEEK), ["▲ 1.2 higher, before 60.0"]);
        assert_eq!(level.now(), "61.2 a day");
    }

    #[test]
    fn a_change_of_too_few_days_is_not_said() {
        let few = "too little data to compare: figures on 3 of 7 days, before on 7 of 7";
        assert_eq!(item(Measured::Total, (9.0, 3), (1.0, 7)).changes(WEEK), [few]);
        assert_eq!(item(Measured::Sometimes, (9.0, 3), (1.0, 3)).changes(WEEK).len(), 1);
        assert!(
            item(Measured::Sometimes, (9.0, 2), (1.0, 3)).changes(WEEK)[0].contains("too little")
        );
        let mut none = item(Measured::Total, (9.0, 7), (1.0, 0));
        none.parts[0].1.before.value = None;
        assert!(none.changes(WEEK)[0].contains("before on 0 of 7"));
        let day = Spans { now: 1, before: 1 };
        assert_eq!(
            item(Measured::Total, (9.0, 1), (4.0, 1)).changes(day),
            ["▲ 5 more (125 %), before 4"]
        );
    }

    #[test]
    fn two_pressures_are_compared_each() {
        let mut both = item(Measured::Sometimes, (124.0, 4), (121.0, 4));
        let [(_, systolic)] = both.parts[..] else { panic!() };
        let mean = |value| Mean { value: Some(value), days: 4 };
        let diastolic = Both { now: mean(79.0), before: mean(80.0) };
        both.parts = vec![("systolic", systolic), ("diastolic", diastolic)];
        assert_eq!(both.now(), "124/79 a day");
        let said = ["systolic ▲ 3 higher, before 121", "diastolic ▼ 1 lower, before 80"];
        assert_eq!(both.changes(WEEK), said);
    }
}
