//! Shows example figures in the terminal.

use aggregation::local_time::Zone;
use aggregation::nutrition::NUTRIENTS;
use chrono::NaiveDate;
use store::{NutritionSums, Store, VitalDay, VitalHour};

use crate::{output, tables};

/// A user who logged meals for eight days.
pub const EATER: i64 = 900_001;
/// A user who wore a chest strap in five activities.
const ATHLETE: i64 = 900_002;
/// A user with one examination: three blood pressure measurements, body measures, three laboratory
/// tests.
const EXAMINED: i64 = 93_806;

/// Width of the bar for 40 to 200 beats a minute, in cells.
const RANGE_CELLS: usize = 28;

/// Width of the bar of the day with the highest energy, in cells.
const ENERGY_CELLS: usize = 12;

/// Shows a week of meals, the heart rate of an activity by hour, and an examination.
///
/// # Errors
/// If the database fails.
pub async fn show(store: &Store, zone: Zone) -> anyhow::Result<()> {
    week(store, zone).await?;
    activity(store, zone).await?;
    examination(store, zone).await
}

/// The first and the last date of the week of meals.
pub fn week_of_meals() -> (NaiveDate, NaiveDate) {
    (date(2022, 7, 20), date(2022, 7, 26))
}

async fn week(store: &Store, zone: Zone) -> anyhow::Result<()> {
    let (from, to) = week_of_meals();
    let days = store.user_days(&EATER.into(), from, to, zone).await?.nutrition;
    let nutrient = |day: &NutritionSums, name: &str| {
        let index = NUTRIENTS.iter().position(|known| *known == name)?;
        day.nutrients.get(index).copied().flatten()
    };
    let energies = days.iter().filter_map(|day| nutrient(day, "energy_kcal"));
    let most = energies.fold(1.0, f64::max);
    let rows = days.iter().map(|day| {
        let energy = nutrient(day, "energy_kcal");
        let [carbohydrate, protein, fat] =
            [0, 1, 2].map(|index| day.shares.get(index).copied().flatten());
        vec![
            day.day.date.format("%a %d %b").to_string(),
            day.item_count.to_string(),
            number(energy, 0),
            energy.map_or_else(String::new, |energy| bar(energy / most, ENERGY_CELLS)),
            percent(carbohydrate),
            percent(protein),
            percent(fat),
            number(nutrient(day, "fiber_g"), 1),
            number(nutrient(day, "vitamin_c_mg"), 1),
        ]
    });
    output::print(&format!("\nA week of user {EATER}'s meals (nutrition_daily):"));
    output::print(&tables::table(
        &["day", "items", "kcal", "", "carbs", "protein", "fat", "fibre g", "vit. C mg"],
        rows,
    ));
    Ok(())
}

async fn activity(store: &Store, zone: Zone) -> anyhow::Result<()> {
    let on = date(2019, 9, 20);
    let read = store.user_days(&ATHLETE.into(), on, on, zone).await?;
    let hours = read.hours.iter().filter(|hour| hour.metric == "heart_rate");
    let days = read.vitals.iter().filter(|day| day.metric == "heart_rate");
    let rows: Vec<Vec<String>> = hours
        .map(|hour| heart_rate(&HeartRate::from_hour(hour), &clock(hour)))
        .chain(days.map(|day| heart_rate(&HeartRate::from_day(day), "day")))
        .collect();
    output::print(&format!(
        "\nUser {ATHLETE}'s heart rate while exercising on {on}, a reading a second\n\
         (vitals_hourly, merged in vitals_daily; ─ from least to greatest, ● mean):"
    ));
    let scale = format!("40{:>width$}", 200, width = RANGE_CELLS - 2);
    output::print(&tables::table(
        &["hour", "readings", "min", "mean", "SD", "median", "max", &scale],
        rows,
    ));
    Ok(())
}

async fn examination(store: &Store, zone: Zone) -> anyhow::Result<()> {
    let (from, to) = (date(2018, 1, 1), date(2018, 12, 31));
    let mut read = store.user_days(&EXAMINED.into(), from, to, zone).await?;
    read.labs.sort_by_key(|lab| lab.day.date);
    let mut rows: Vec<Vec<String>> = read
        .vitals
        .iter()
        .map(|day| {
            vec![
                day.day.date.to_string(),
                day.metric.replace('_', " "),
                day.sample_count.to_string(),
                number(day.mean, 1),
                day.unit.clone(),
                day.stddev.map_or_else(String::new, |sd| format!("SD {sd:.1}")),
            ]
        })
        .collect();
    rows.extend(read.blood_pressure.into_iter().map(|day| {
        let mean = |value: Option<f64>| number(value, 0);
        vec![
            day.day.date.to_string(),
            "blood pressure".to_owned(),
            day.pair_count.to_string(),
            format!("{}/{}", mean(day.systolic[0]), mean(day.diastolic[0])),
            "mm[Hg]".to_owned(),
            day.worst_category.unwrap_or_default().replace('_', " "),
        ]
    }));
    rows.extend(read.labs.into_iter().map(|lab| {
        let range = lab.reported_range.map_or_else(String::new, |range| format!("range {range}"));
        let flag = lab.last_flag.map_or_else(String::new, |flag| format!("  {flag}"));
        vec![
            lab.day.date.to_string(),
            format!("LOINC {}", lab.analyte),
            "1".to_owned(),
            number(lab.last_value, 1),
            lab.unit,
            format!("{range}{flag}"),
        ]
    }));
    output::print(&format!(
        "\nUser {EXAMINED}'s examination\n(vitals_daily, blood_pressure_daily and lab_daily):"
    ));
    output::print(&tables::table(&["day", "what", "n", "mean", "unit", ""], rows));
    Ok(())
}

/// The heart rate figures of an hour or a day.
struct HeartRate {
    sample_count: i32,
    min: Option<f64>,
    mean: Option<f64>,
    stddev: Option<f64>,
    p50: Option<f64>,
    max: Option<f64>,
}

impl HeartRate {
    fn from_hour(hour: &VitalHour) -> Self {
        let VitalHour { sample_count, min, mean, stddev, p50, max, .. } = *hour;
        Self { sample_count, min, mean, stddev, p50, max }
    }

    fn from_day(day: &VitalDay) -> Self {
        let VitalDay { sample_count, min, mean, stddev, p50, max, .. } = *day;
        Self { sample_count, min, mean, stddev, p50, max }
    }
}

fn heart_rate(figures: &HeartRate, name: &str) -> Vec<String> {
    vec![
        name.to_owned(),
        tables::thousands(i64::from(figures.sample_count)),
        number(figures.min, 0),
        number(figures.mean, 1),
        number(figures.stddev, 1),
        number(figures.p50, 0),
        number(figures.max, 0),
        range(figures),
    ]
}

/// The hour on local clocks.
fn clock(hour: &VitalHour) -> String {
    let zone = hour.time_zone.parse::<Zone>();
    zone.map_or_else(
        |_| hour.start.to_utc().format("%H:%M UTC").to_string(),
        |zone| zone.clock(hour.start).format("%H:%M").to_string(),
    )
}

/// A line from minimum to maximum with the mean on it, from 40 to 200 beats a minute.
fn range(figures: &HeartRate) -> String {
    let (Some(min), Some(mean), Some(max)) = (figures.min, figures.mean, figures.max) else {
        return String::new();
    };
    let cell = |value: f64| {
        let share = ((value - 40.0) / 160.0).clamp(0.0, 1.0);
        (share * (RANGE_CELLS - 1) as f64).round() as usize
    };
    (0..RANGE_CELLS)
        .map(|at| match at {
            _ if at == cell(mean) => '●',
            _ if cell(min) <= at && at <= cell(max) => '─',
            _ => ' ',
        })
        .collect()
}

fn bar(share: f64, cells: usize) -> String {
    "█".repeat((share.clamp(0.0, 1.0) * cells as f64).round() as usize)
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{share:.0} %"))
}

fn number(value: Option<f64>, places: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.places$}"))
}

/// A date of the demo's data, which is a valid constant.
fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default()
}
