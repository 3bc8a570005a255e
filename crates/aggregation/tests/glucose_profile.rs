//! The ambulatory glucose profile: percentiles that were computed by hand.

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

mod support;

use aggregation::glucose::profile::{Profile, profile};
use aggregation::vitals::RawVital;
use support::rows::{World, date, in_zone, row};

/// Readings of five days at one time of day.
fn of_five_days(clock: &str, unit: &str, values: [f64; 5]) -> Vec<RawVital> {
    let days = (1..).zip(values);
    let reading = |(day, value): (i64, f64)| {
        let at = format!("2024-05-{day:02}T{clock}Z");
        row(0, "sensor", unit, &at, &at, value)
    };
    days.map(reading).collect()
}

fn of(zone: &str, rows: &[RawVital], from: &str, to: &str) -> Option<Profile> {
    profile(rows, (date(from), date(to)), &World::new(zone, &[]).context())
}

fn of_may(rows: &[RawVital]) -> Profile {
    of("UTC", rows, "2024-05-01", "2024-05-31").unwrap()
}

/// The percentiles at a time of day, rounded to a hundredth.
fn at_minute(profile: &Profile, minute: u32) -> Option<[f64; 5]> {
    let point = profile.points.iter().find(|point| point.minute == minute).unwrap();
    point.percentiles.map(|values| values.map(|value| (value * 100.0).round() / 100.0))
}

#[test]
fn percentiles_of_a_time_of_day_are_those_computed_by_hand() {
    // Ranks 0 to 4: the 5th percentile is at rank 0.2, the 95th at rank 3.8.
    let rows = of_five_days("08:10:00", "mg/dL", [140.0, 100.0, 120.0, 130.0, 110.0]);
    let profile = of_may(&rows);
    assert_eq!((profile.days, profile.readings, profile.points.len()), (5, 5, 48));
    let expected = Some([102.0, 110.0, 120.0, 130.0, 138.0]);
    assert_eq!(at_minute(&profile, 8 * 60), expected);
    assert_eq!(at_minute(&profile, 8 * 60 + 30), expected);
    assert_eq!(at_minute(&profile, 7 * 60 + 30), None);
    assert_eq!(at_minute(&profile, 9 * 60), None);
}

#[test]
fn readings_around_midnight_are_near_each_other() {
    let rows = of_five_days("23:40:00", "mg/dL", [100.0, 110.0, 120.0, 130.0, 140.0]);
    let profile = of_may(&rows);
    assert_eq!(at_minute(&profile, 0).unwrap()[2], 120.0);
    assert_eq!(at_minute(&profile, 23 * 60 + 30).unwrap()[2], 120.0);
    assert_eq!(at_minute(&profile, 30), None);
}

#[test]
fn fewer_than_five_days_have_no_percentiles_however_many_readings() {
    let mut rows = of_five_days("08:10:00", "mg/dL", [100.0; 5]);
    rows.truncate(4);
    for minute in 11..40 {
        let at = format!("2024-05-01T08:{minute}:00Z");
        rows.push(row(0, "sensor", "mg/dL", &at, &at, 90.0));
    }
    assert!(of_may(&rows).points.iter().all(|point| point.percentiles.is_none()));
}

#[test]
fn the_clock_is_that_of_the_readings_zone_and_other_dates_do_not_count() {
    let rows = of_five_days("22:10:00", "mg/dL", [100.0, 110.0, 120.0, 130.0, 140.0]);
    let berlin = of("Europe/Berlin", &rows, "2024-05-01", "2024-05-06").unwrap();
    assert_eq!(at_minute(&berlin, 0).unwrap()[2], 120.0);
    let without_last = of("Europe/Berlin", &rows, "2024-05-01", "2024-05-05").unwrap();
    assert_eq!((without_last.days, at_minute(&without_last, 0)), (4, None));
    let own: Vec<RawVital> = rows.iter().map(|row| in_zone("+05:30", row.clone())).collect();
    assert_eq!(at_minute(&of_may(&own), 3 * 60 + 30).unwrap()[2], 120.0);
    assert_eq!(of("UTC", &rows, "2024-06-01", "2024-06-30"), None);
}

#[test]
fn a_bound_keeps_its_rank_and_a_reading_sent_again_counts_once() {
    let mut rows = of_five_days("08:10:00", "mg/dL", [100.0, 110.0, 120.0, 130.0, 400.0]);
    rows[4].comparator = Some(">".into());
    let again = RawVital { id: 9, ..rows[0].clone() };
    rows.push(again);
    let profile = of_may(&rows);
    assert_eq!(profile.readings, 5);
    assert_eq!(at_minute(&profile, 480), Some([102.0, 110.0, 120.0, 130.0, 346.0]));
}

#[test]
fn readings_in_mmol_are_drawn_in_mg() {
    let rows = of_five_days("08:10:00", "mmol/L", [5.0, 5.5, 6.0, 6.5, 7.0]);
    assert_eq!(at_minute(&of_may(&rows), 480).unwrap()[2], 108.09);
}
