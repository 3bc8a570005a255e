//! The figures of a long span by week or month, merged from its days as the views `*_weekly` and
//! `*_monthly` merge them.
//!
//! The days are merged here because the page has them anyway, all of one moment. A week or month at the
//! end of the span has only the days that were asked for, which a view could not leave out.

use std::collections::BTreeMap;

use aggregation::Timestamp;
use chrono::{Datelike, Days, NaiveDate};
use store::{
    BloodPressureDay, DayRow, GlucoseDay, MealEnergy, NutritionSums, SleepNight, UserDays, VitalDay,
};

/// Up to this number of days, each day is drawn.
const MOST_BY_DAY: i64 = 62;

/// Up to this number of days, each week is drawn; then each month.
const MOST_BY_WEEK: i64 = 190;

/// The days that one mark of a chart, and one row of a table, stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// One day.
    Day,
    /// Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
}

impl Step {
    /// The step for a span of this number of days.
    pub const fn for_days(days: i64) -> Self {
        if days <= MOST_BY_DAY {
            Self::Day
        } else if days <= MOST_BY_WEEK {
            Self::Week
        } else {
            Self::Month
        }
    }

    /// `day`, `week` or `month`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The first date of the step that contains `date`.
    fn first(self, date: NaiveDate) -> NaiveDate {
        match self {
            Self::Day => date,
            Self::Week => date - Days::new(u64::from(date.weekday().num_days_from_monday())),
            Self::Month => date.with_day(1).unwrap_or(date),
        }
    }

    /// The first date of each step of a span. The first step begins with the span.
    pub fn starts(self, from: NaiveDate, to: NaiveDate) -> Vec<NaiveDate> {
        let dates = from.iter_days().take_while(|date| *date <= to);
        dates.filter(|date| *date == from || self.first(*date) == *date).collect()
    }

    /// The beginning of a date's step in a span from `from` on.
    pub fn start(self, date: NaiveDate, from: NaiveDate) -> NaiveDate {
        self.first(date).max(from)
    }
}

/// The same days with their figures by step. Hours, laboratory results and facts about the request stay
/// as they are.
pub fn merged(days: &UserDays, step: Step) -> UserDays {
    let start = |day: &DayRow| step.start(day.date, days.from);
    UserDays {
        vitals: groups(&days.vitals, |row| (start(&row.day), &row.metric, &row.unit))
            .iter()
            .filter_map(|rows| vital(rows, start(&rows.first()?.day)))
            .collect(),
        sleep: groups(&days.sleep, |row| start(&row.day))
            .iter()
            .filter_map(|rows| Some(night(rows, start(&rows.first()?.day))))
            .collect(),
        blood_pressure: groups(&days.blood_pressure, |row| start(&row.day))
            .iter()
            .filter_map(|rows| Some(pressure(rows, start(&rows.first()?.day))))
            .collect(),
        glucose: groups(&days.glucose, |row| start(&row.day))
            .iter()
            .filter_map(|rows| Some(glucose(rows, start(&rows.first()?.day))))
            .collect(),
        nutrition: groups(&days.nutrition, |row| start(&row.day))
            .iter()
            .filter_map(|rows| Some(meals(rows, start(&rows.first()?.day))))
            .collect(),
        ..days.clone()
    }
}

fn groups<'r, R, K: Ord>(rows: &'r [R], key: impl Fn(&'r R) -> K) -> Vec<Vec<&'r R>> {
    let mut groups: BTreeMap<K, Vec<&R>> = BTreeMap::new();
    for row in rows {
        groups.entry(key(row)).or_default().push(row);
    }
    groups.into_values().collect()
}

/// The circumstances of several days. Their zones and sources are in the section about the basis.
fn day<'d>(days: impl Iterator<Item = &'d DayRow>, date: NaiveDate) -> DayRow {
    let mut merged = DayRow {
        date,
        time_zone: String::new(),
        is_partial: false,
        rejected: None,
        algorithm_version: 0,
        computed_at: Timestamp::MIN,
        sources: Vec::new(),
    };
    for day in days {
        merged.is_partial |= day.is_partial;
        if let Some(rows) = day.rejected {
            merged.rejected = Some(merged.rejected.unwrap_or(0).saturating_add(rows));
        }
        merged.algorithm_version = merged.algorithm_version.max(day.algorithm_version);
        merged.computed_at = merged.computed_at.max(day.computed_at);
    }
    merged
}

/// The sum of what is known; `None` if nothing is.
pub fn sum(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    values.flatten().reduce(|a, b| a + b)
}

/// The mean of what is known, each value with its weight.
pub fn mean(values: impl Iterator<Item = (Option<f64>, f64)>) -> Option<f64> {
    let (mut total, mut weights) = (0.0, 0.0);
    for (value, weight) in values {
        if let Some(value) = value {
            total += value * weight;
            weights += weight;
        }
    }
    (weights > 0.0).then_some(total / weights)
}

fn extreme(values: impl Iterator<Item = Option<f64>>, better: fn(f64, f64) -> f64) -> Option<f64> {
    values.flatten().reduce(better)
}

fn count(values: impl Iterator<Item = i32>) -> i32 {
    values.fold(0, i32::saturating_add)
}

/// The standard deviation of all samples, from that of each day: its number, mean and deviation.
fn stddev(days: impl Iterator<Item = (i32, Option<f64>, Option<f64>)> + Clone) -> Option<f64> {
    let known = days.filter_map(|(number, mean, sd)| Some((f64::from(number), mean?, sd)));
    let number: f64 = known.clone().map(|(number, ..)| number).sum();
    let middle = mean(known.clone().map(|(number, mean, _)| (Some(mean), number)))?;
    let squares: f64 = known
        .map(|(number, mean, sd)| {
            (number - 1.0) * sd.unwrap_or(0.0).powi(2) + number * (mean - middle).powi(2)
        })
        .sum();
    (number > 1.0).then(|| (squares / (number - 1.0)).sqrt())
}

fn vital(rows: &[&VitalDay], date: NaiveDate) -> Option<VitalDay> {
    let first = rows.first()?;
    let each = || rows.iter();
    Some(VitalDay {
        day: day(each().map(|row| &row.day), date),
        metric: first.metric.clone(),
        unit: first.unit.clone(),
        sample_count: count(each().map(|row| row.sample_count)),
        censored_count: count(each().map(|row| row.censored_count)),
        total: sum(each().map(|row| row.total)),
        by_workout_type: by_workout_type(rows),
        mean: mean(each().map(|row| (row.mean, f64::from(row.sample_count)))),
        stddev: stddev(each().map(|row| (row.sample_count, row.mean, row.stddev))),
        min: extreme(each().map(|row| row.min), f64::min),
        max: extreme(each().map(|row| row.max), f64::max),
        // Percentiles of several days do not follow from those of each.
        p25: None,
        p50: None,
        p75: None,
    })
}

fn by_workout_type(rows: &[&VitalDay]) -> BTreeMap<String, f64> {
    let mut totals = BTreeMap::new();
    for (of_type, total) in rows.iter().flat_map(|row| &row.by_workout_type) {
        *totals.entry(of_type.clone()).or_insert(0.0) += total;
    }
    totals
}

/// The mean night of several; naps are counted.
fn night(rows: &[&SleepNight], date: NaiveDate) -> SleepNight {
    let each = || rows.iter();
    let nights = |of: fn(&SleepNight) -> Option<f64>| mean(each().map(|row| (of(row), 1.0)));
    // A stage that no source tells of in a night is unknown there, while the sum of all nights is not.
    let asleep = each().filter(|row| row.asleep.is_some()).count() as f64;
    let stage = |of: fn(&SleepNight) -> Option<f64>| {
        sum(each().map(|row| of(row))).map(|minutes| minutes / asleep.max(1.0))
    };
    let known = || each().filter(|row| row.efficiency.is_some());
    let in_bed = sum(known().map(|row| row.in_bed)).filter(|minutes| *minutes > 0.0);
    SleepNight {
        day: day(each().map(|row| &row.day), date),
        asleep: nights(|row| row.asleep),
        core: stage(|row| row.core),
        deep: stage(|row| row.deep),
        rem: stage(|row| row.rem),
        unspecified: stage(|row| row.unspecified),
        awake: nights(|row| row.awake),
        in_bed: nights(|row| row.in_bed),
        efficiency: sum(known().map(|row| row.asleep)).zip(in_bed).map(|(a, b)| a / b),
        main_start: None,
        main_end: None,
        nap_count: count(each().map(|row| row.nap_count)),
        nap_minutes: sum(each().map(|row| row.nap_minutes)),
    }
}

/// From best to worst.
const CATEGORIES: [&str; 5] = ["normal", "elevated", "stage_1", "stage_2", "severe"];

fn pressure(rows: &[&BloodPressureDay], date: NaiveDate) -> BloodPressureDay {
    let each = || rows.iter();
    let exact = |row: &BloodPressureDay| f64::from(row.pair_count - row.censored_count);
    let both = |of: fn(&BloodPressureDay) -> [Option<f64>; 3]| {
        [
            mean(each().map(|row| (of(row)[0], exact(row)))),
            extreme(each().map(|row| of(row)[1]), f64::min),
            extreme(each().map(|row| of(row)[2]), f64::max),
        ]
    };
    let rank = |name: &str| CATEGORIES.iter().position(|known| *known == name);
    BloodPressureDay {
        day: day(each().map(|row| &row.day), date),
        pair_count: count(each().map(|row| row.pair_count)),
        unpaired_count: count(each().map(|row| row.unpaired_count)),
        censored_count: count(each().map(|row| row.censored_count)),
        systolic: both(|row| row.systolic),
        diastolic: both(|row| row.diastolic),
        mean_arterial: mean(each().map(|row| (row.mean_arterial, exact(row)))),
        worst_category: each()
            .filter_map(|row| row.worst_category.clone())
            .max_by_key(|name| rank(name)),
    }
}

fn glucose(rows: &[&GlucoseDay], date: NaiveDate) -> GlucoseDay {
    use aggregation::glucose::formulas;

    let each = || rows.iter();
    let readings = |row: &GlucoseDay| f64::from(row.sample_count) + f64::from(row.censored_count);
    let share =
        |of: fn(&GlucoseDay) -> Option<f64>| mean(each().map(|row| (of(row), readings(row))));
    let episodes = |of: fn(&GlucoseDay) -> Option<i32>| {
        each().filter_map(|row| of(row)).reduce(i32::saturating_add)
    };
    let middle = mean(each().map(|row| (row.mean, f64::from(row.sample_count))));
    let stddev = stddev(each().map(|row| (row.sample_count, row.mean, row.stddev)));
    let (below_54, below_70) = (share(|row| row.below_54), share(|row| row.below_70));
    let (above_180, above_250) = (share(|row| row.above_180), share(|row| row.above_250));
    let risk = || {
        let (low, high) = (below_70? - below_54?, above_180? - above_250?);
        Some(formulas::glycemia_risk_index(below_54?, low, above_250?, high))
    };
    let sufficient: Vec<bool> = each().filter_map(|row| row.is_sufficient).collect();
    GlucoseDay {
        day: day(each().map(|row| &row.day), date),
        sample_count: count(each().map(|row| row.sample_count)),
        censored_count: count(each().map(|row| row.censored_count)),
        mean: middle,
        stddev,
        cv_percent: middle
            .zip(stddev)
            .and_then(|(mean, sd)| formulas::coefficient_of_variation(mean, sd)),
        gmi_percent: middle.map(formulas::glucose_management_indicator),
        below_54,
        below_70,
        in_range: share(|row| row.in_range),
        above_180,
        above_250,
        risk_index: risk(),
        low_episodes: episodes(|row| row.low_episodes),
        high_episodes: episodes(|row| row.high_episodes),
        // Over the days with readings; a day without them is a gap.
        coverage_percent: mean(each().map(|row| (row.coverage_percent, 1.0))),
        is_sufficient: (!sufficient.is_empty())
            .then(|| 2 * sufficient.iter().filter(|is_so| **is_so).count() >= sufficient.len()),
    }
}

/// The mean day of several; items are counted.
fn meals(rows: &[&NutritionSums], date: NaiveDate) -> NutritionSums {
    let each = || rows.iter().filter(|row| row.item_count > 0);
    let days = each().count().max(1) as f64;
    let of_a_day = |sum: Option<f64>| sum.map(|sum| sum / days);
    let columns = |of: fn(&NutritionSums) -> &Vec<Option<f64>>| -> Vec<Option<f64>> {
        let width = rows.first().map_or(0, |row| of(row).len());
        let column =
            |at: usize| of_a_day(sum(each().map(|row| of(row).get(at).copied().flatten())));
        (0..width).map(column).collect()
    };
    let meal = |at: usize| MealEnergy {
        count: count(each().filter_map(|row| row.meals.get(at)).map(|meal| meal.count)),
        energy_kcal: of_a_day(sum(each().map(|row| row.meals.get(at)?.energy_kcal))),
    };
    // As in the views: only days whose shares are known.
    let known = || each().filter(|row| row.shares.first().is_some_and(Option::is_some));
    let energy = |at: usize| sum(known().map(|row| row.macronutrients.get(at).copied().flatten()));
    let total = sum((0..4).map(energy)).filter(|total| *total > 0.0);
    NutritionSums {
        day: day(rows.iter().map(|row| &row.day), date),
        item_count: count(each().map(|row| row.item_count)),
        nutrients: columns(|row| &row.nutrients),
        meals: (0..rows.first().map_or(0, |row| row.meals.len())).map(meal).collect(),
        macronutrients: columns(|row| &row.macronutrients),
        shares: (0..4).map(|at| Some(100.0 * energy(at)? / total?)).collect(),
        first_eaten_at: None,
        last_eaten_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_span_has_days_weeks_or_months_by_its_length() {
        let steps = [1, 62, 63, 190, 191, 366].map(Step::for_days);
        let (day, week, month) = (Step::Day, Step::Week, Step::Month);
        assert_eq!(steps, [day, day, week, week, month, month]);
    }

    #[test]
    fn the_first_step_begins_with_the_span() {
        let starts = Step::Week.starts(date("2024-05-01"), date("2024-05-14"));
        assert_eq!(starts, ["2024-05-01", "2024-05-06", "2024-05-13"].map(date));
        let starts = Step::Month.starts(date("2024-01-31"), date("2024-03-01"));
        assert_eq!(starts, ["2024-01-31", "2024-02-01", "2024-03-01"].map(date));
        assert_eq!(Step::Week.start(date("2024-05-05"), date("2024-05-01")), date("2024-05-01"));
        assert_eq!(Step::Week.start(date("2024-05-12"), date("2024-05-01")), date("2024-05-06"));
    }

    #[test]
    fn a_mean_is_over_samples_and_a_deviation_over_all_of_them() {
        assert_eq!(
            mean([(Some(60.0), 1.0), (Some(80.0), 3.0), (None, 9.0)].into_iter()),
            Some(75.0)
        );
        // 1, 2, 3 and 5: by days of two samples each.
        let days = [(2, Some(1.5), Some(0.5_f64.sqrt())), (2, Some(4.0), Some(2.0_f64.sqrt()))];
        let found = stddev(days.into_iter()).unwrap();
        assert!((found - 35.0_f64.sqrt() / 12.0_f64.sqrt()).abs() < 1e-12, "{found}");
        assert_eq!(stddev([(1, Some(5.0), None)].into_iter()), None);
        assert_eq!(mean([(None, 1.0)].into_iter()), None);
    }
}
