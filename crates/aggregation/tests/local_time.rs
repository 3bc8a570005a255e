//! Compares local days and hours with a reference that only knows the time that clocks show.

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

use aggregation::Timestamp;
use aggregation::local_time::{LocalSpan, UnknownZone, WIDEST_OFFSET_US, Zone, day_number};
use aggregation::timestamp::{DAY_US, HOUR_US, MINUTE_US, SECOND_US};
use chrono::{DateTime, Days, NaiveDate, Offset, TimeZone};
use proptest::prelude::*;

fn zone(name: &str) -> Zone {
    name.parse().unwrap_or_else(|UnknownZone| panic!("{name} should be a zone"))
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_utc(DateTime::parse_from_rfc3339(text).unwrap().to_utc())
}

/// The offset of local clocks from UTC, in seconds. The reference uses no other property of the
/// zone.
fn seconds_ahead(zone: Zone, instant: Timestamp) -> i64 {
    let ahead = match zone {
        Zone::Named(zone) => zone.offset_from_utc_datetime(&instant.to_utc().naive_utc()).fix(),
        Zone::Fixed(offset) => offset,
    };
    i64::from(ahead.local_minus_utc())
}

fn clock_date(zone: Zone, instant: Timestamp) -> NaiveDate {
    instant.plus(seconds_ahead(zone, instant) * SECOND_US).to_utc().date_naive()
}

/// The first second at which clocks show `date` or a later one, found minute by minute.
fn first_second_of(zone: Zone, date: NaiveDate) -> Timestamp {
    let midnight = Timestamp::from_utc_clock(date.and_hms_opt(0, 0, 0).unwrap());
    let mut minute = midnight.plus(-WIDEST_OFFSET_US);
    while clock_date(zone, minute) < date {
        minute = minute.plus(MINUTE_US);
    }
    let mut second = minute.plus(-MINUTE_US);
    while clock_date(zone, second) < date {
        second = second.plus(SECOND_US);
    }
    second
}

fn hours_of(zone: Zone, date: NaiveDate) -> Vec<LocalSpan> {
    let mut hours = Vec::new();
    let mut at = zone.day_start(date);
    while at < zone.day_end(date) {
        let hour = zone.hour_of(at);
        hours.push(hour);
        at = hour.end;
    }
    hours
}

/// Checks one local date in one zone.
fn check_date(zone: Zone, date: NaiveDate) {
    let (start, end) = (zone.day_start(date), zone.day_end(date));
    let next = date.checked_add_days(Days::new(1)).unwrap();
    let place = format!("{zone} {date}");
    assert_eq!(end, zone.day_start(next), "{place}: days leave no gap");
    assert_eq!(start, first_second_of(zone, date), "{place}: the first valid instant");
    assert!(start <= end, "{place}: no day ends before it starts");

    let midnight = Timestamp::from_utc_clock(date.and_hms_opt(0, 0, 0).unwrap());
    assert!(midnight.plus(-WIDEST_OFFSET_US) <= start, "{place}: not earlier than anywhere");
    assert!(end <= midnight.plus(DAY_US + WIDEST_OFFSET_US), "{place}: not later than anywhere");
    if start == end {
        return; // A date that the zone left out.
    }
    for instant in [start, start.plus(1), end.plus(-1)] {
        assert_eq!(zone.date_of(instant), date, "{place}: {instant:?}");
    }
    assert_ne!(zone.date_of(end), date, "{place}: its end is no part of it");

    let hours = hours_of(zone, date);
    assert_eq!(hours.first().map(|hour| hour.start), Some(start), "{place}");
    assert_eq!(hours.last().map(|hour| hour.end), Some(end), "{place}");
    for pair in hours.windows(2) {
        assert_eq!(pair[0].end, pair[1].start, "{place}: hours leave no gap");
    }
    for hour in &hours {
        let length = hour.end.since(hour.start);
        assert!(0 < length && length <= HOUR_US, "{place}: {hour:?}");
        assert_eq!(hour.date, date, "{place}: {hour:?}");
        let middle = hour.start.plus(length / 2);
        for instant in [hour.start, middle, hour.end.plus(-1)] {
            assert_eq!(zone.hour_of(instant), *hour, "{place}: one hour, one key");
            assert_eq!(zone.date_of(instant), date, "{place}: {hour:?}");
        }
        // Within an hour clocks do not jump; it begins at a full hour, a start of a day or a change
        // of offset.
        let ahead = seconds_ahead(zone, hour.start);
        assert_eq!(ahead, seconds_ahead(zone, hour.end.plus(-1)), "{place}: {hour:?}");
        let full_hour = (hour.start.0 + ahead * SECOND_US).rem_euclid(HOUR_US) == 0;
        let jump = ahead != seconds_ahead(zone, hour.start.plus(-1));
        assert!(full_hour || jump || hour.start == start, "{place}: {hour:?}");
    }
}

/// Dates of the years 1 to 9999, mostly those for which zones have rules.
fn any_date() -> impl Strategy<Value = NaiveDate> {
    let first = day_number(date("0001-01-02"));
    let rules = day_number(date("1840-01-01"))..day_number(date("2040-01-01"));
    let last = day_number(date("9999-12-30"));
    prop_oneof![8 => rules, 1 => first..last]
        .prop_map(|day| NaiveDate::from_num_days_from_ce_opt(day).unwrap())
}

fn any_zone() -> impl Strategy<Value = Zone> {
    let named =
        (0..chrono_tz::TZ_VARIANTS.len()).prop_map(|n| Zone::Named(chrono_tz::TZ_VARIANTS[n]));
    let fixed = (0..=14i32, 0..60i32, any::<bool>()).prop_map(|(hours, minutes, east)| {
        let minutes = if hours == 14 { 0 } else { minutes };
        zone(&format!("{}{hours:02}:{minutes:02}", if east { '+' } else { '-' }))
    });
    prop_oneof![6 => named, 1 => fixed]
}

/// Instants around which the clocks of a zone jump, found by bisection.
fn jumps(zone: Zone, from: Timestamp, to: Timestamp, step: i64) -> Vec<Timestamp> {
    let mut jumps = Vec::new();
    let mut before = from;
    while before < to {
        let after = before.plus(step);
        if seconds_ahead(zone, before) != seconds_ahead(zone, after) {
            let (mut old, mut new) = (before.0, after.0);
            while new - old > 1 {
                let middle = old + (new - old) / 2;
                if seconds_ahead(zone, Timestamp(middle)) == seconds_ahead(zone, before) {
                    old = middle;
                } else {
                    new = middle;
                }
            }
            jumps.push(Timestamp(new));
        }
        before = after;
    }
    jumps
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn days_and_hours_partition_time_in_every_zone(zone in any_zone(), date in any_date()) {
        check_date(zone, date);
    }

    #[test]
    fn any_instant_lies_in_its_own_day_and_hour(
        zone in any_zone(),
        instant in Timestamp::MIN.0..Timestamp::MAX.0,
    ) {
        let instant = Timestamp(instant);
        let hour = zone.hour_of(instant);
        prop_assert!(hour.contains(instant));
        prop_assert_eq!(zone.date_of(instant), hour.date);
        prop_assert!(zone.day_start(hour.date) <= hour.start && hour.end <= zone.day_end(hour.date));
    }

    #[test]
    fn what_was_asked_before_changes_no_hour_and_no_date(
        zone in any_zone(),
        start in any_date(),
        steps in prop::collection::vec(-2 * HOUR_US..3 * HOUR_US, 1..40),
    ) {
        let mut instant = zone.day_start(start);
        for step in steps {
            instant = instant.plus(step);
            let asked = move || (zone.hour_of(instant), zone.date_of(instant));
            // Earlier results are cached by the thread.
            let first = std::thread::spawn(asked).join().unwrap();
            prop_assert_eq!(asked(), first);
        }
    }

    #[test]
    fn any_text_is_a_zone_or_an_error_but_never_a_panic(
        text in prop_oneof![any::<String>(), "[+\\-Z]\\PC{0,6}", "[+\\-]?[0-9:é٣]{0,7}"],
    ) {
        if let Ok(zone) = text.parse::<Zone>() {
            prop_assert_eq!(zone.to_string().parse(), Ok(zone));
        }
    }
}

#[test]
fn days_and_hours_hold_around_changes_of_clocks() {
    // Every hundredth jump of all zones would be 1,500 days; a fixed stride takes some of each.
    let (from, to) = (at("1840-01-01T00:00:00Z"), at("2030-01-01T00:00:00Z"));
    for variant in chrono_tz::TZ_VARIANTS.iter().step_by(23) {
        let zone = Zone::Named(*variant);
        for jump in jumps(zone, from, to, 60 * DAY_US).into_iter().step_by(7) {
            check_date(zone, zone.date_of(jump));
            check_date(zone, zone.date_of(jump.plus(-1)));
        }
    }
}

fn length_and_hours(zone_name: &str, day: &str) -> (i64, usize) {
    let zone = zone(zone_name);
    check_date(zone, date(day));
    let length = zone.day_end(date(day)).since(zone.day_start(date(day)));
    (length / MINUTE_US, hours_of(zone, date(day)).len())
}

#[test]
fn a_day_has_23_hours_in_spring_and_25_in_autumn() {
    assert_eq!(length_and_hours("Europe/Berlin", "2024-03-31"), (23 * 60, 23));
    assert_eq!(length_and_hours("Europe/Berlin", "2024-10-27"), (25 * 60, 25));
    assert_eq!(length_and_hours("Europe/Berlin", "2024-10-28"), (24 * 60, 24));
}

#[test]
fn the_two_hours_at_two_on_an_autumn_night_are_two_hours() {
    let berlin = zone("Europe/Berlin");
    let first = berlin.hour_of(at("2024-10-27T02:30:00+02:00"));
    let second = berlin.hour_of(at("2024-10-27T02:30:00+01:00"));
    assert_eq!(first.start, at("2024-10-27T00:00:00Z"));
    assert_eq!(second.start, at("2024-10-27T01:00:00Z"));
}

#[test]
fn a_day_without_midnight_begins_when_its_clocks_begin() {
    for (name, day, start) in [
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T01:00:00-02:00"),
        ("Asia/Beirut", "2024-03-31", "2024-03-31T01:00:00+03:00"),
        ("Africa/Cairo", "2024-04-26", "2024-04-26T01:00:00+03:00"),
    ] {
        assert_eq!(length_and_hours(name, day), (23 * 60, 23), "{name}");
        assert_eq!(zone(name).day_start(date(day)), at(start), "{name}");
    }
}

#[test]
fn a_half_hour_change_of_clocks_makes_a_half_hour() {
    assert_eq!(length_and_hours("Australia/Lord_Howe", "2024-04-07"), (24 * 60 + 30, 25));
    assert_eq!(length_and_hours("Australia/Lord_Howe", "2024-10-06"), (23 * 60 + 30, 24));
    let autumn = zone("Australia/Lord_Howe").hour_of(at("2024-04-07T01:45:00+10:30"));
    assert_eq!(autumn.start, at("2024-04-07T01:30:00+10:30"));
    assert_eq!(autumn.end, at("2024-04-07T02:00:00+10:30"));
}

#[test]
fn hours_follow_local_clocks_where_these_differ_by_parts_of_an_hour() {
    for (name, instant, start) in [
        ("Asia/Kolkata", "2024-05-01T12:15:00Z", "2024-05-01T11:30:00Z"),
        ("+05:30", "2024-05-01T12:30:00Z", "2024-05-01T12:30:00Z"),
        ("Asia/Kathmandu", "2024-05-01T12:15:00Z", "2024-05-01T12:15:00Z"),
        ("Asia/Kathmandu", "2024-05-01T12:14:59Z", "2024-05-01T11:15:00Z"),
        ("-00:01", "2024-05-01T00:00:59Z", "2024-04-30T23:01:00Z"),
    ] {
        assert_eq!(zone(name).hour_of(at(instant)).start, at(start), "{name} {instant}");
    }
    assert_eq!(length_and_hours("Asia/Kathmandu", "2024-05-01"), (24 * 60, 24));
    assert_eq!(length_and_hours("Asia/Kathmandu", "1986-01-01"), (23 * 60 + 45, 24));
}

#[test]
fn clocks_set_back_across_midnight_do_not_bring_the_old_day_back() {
    let st_johns = zone("America/St_Johns");
    // At 00:01 of the 7th clocks went back to 23:01 of the 6th.
    let midnight = at("2010-11-07T02:30:00Z");
    assert_eq!(st_johns.day_start(date("2010-11-07")), midnight);
    assert_eq!(st_johns.date_of(midnight.plus(30 * SECOND_US)), date("2010-11-07"));
    assert_eq!(st_johns.date_of(midnight.plus(30 * MINUTE_US)), date("2010-11-07"));
    assert_eq!(length_and_hours("America/St_Johns", "2010-11-06"), (24 * 60, 24));
    assert_eq!(length_and_hours("America/St_Johns", "2010-11-07"), (25 * 60, 26));
}

#[test]
fn a_date_that_a_zone_left_out_is_empty() {
    for (name, left_out) in [
        ("Pacific/Apia", "2011-12-30"),
        ("Asia/Manila", "1844-12-31"),
        ("Pacific/Kwajalein", "1993-08-21"),
    ] {
        assert_eq!(length_and_hours(name, left_out), (0, 0), "{name}");
        let before = date(left_out).pred_opt().unwrap().to_string();
        let after = date(left_out).succ_opt().unwrap().to_string();
        assert_eq!(length_and_hours(name, &before).0, 24 * 60, "{name}");
        assert_eq!(length_and_hours(name, &after).0, 24 * 60, "{name}");
    }
}

#[test]
fn a_date_that_came_twice_is_one_long_day() {
    // Alaska crossed the date line; its clocks showed the afternoon of the 18th twice.
    assert_eq!(length_and_hours("America/Juneau", "1867-10-18").0, 24 * 60);
    assert_eq!(length_and_hours("America/Juneau", "1867-10-19").0, 48 * 60);
}

#[test]
fn the_first_and_the_last_years_have_days_too() {
    for name in ["UTC", "Asia/Kolkata", "America/St_Johns", "Pacific/Apia", "+14:00", "-14:00"] {
        for day in ["0001-01-01", "0001-01-02", "9999-12-30", "9999-12-31"] {
            check_date(zone(name), date(day));
        }
        for instant in [Timestamp::MIN, Timestamp::MAX] {
            assert!(zone(name).hour_of(instant).contains(instant), "{name}");
        }
    }
}

#[test]
fn an_instant_that_no_calendar_dates_is_no_reason_to_panic() {
    for name in ["UTC", "Europe/Berlin", "+14:00", "-14:00"] {
        for instant in [Timestamp(i64::MIN), Timestamp(i64::MAX), Timestamp(i64::MIN + 1)] {
            zone(name).hour_of(instant);
            zone(name).date_of(instant);
        }
        for date in [NaiveDate::MIN, NaiveDate::MAX] {
            zone(name).day_start(date);
            zone(name).day_end(date);
        }
    }
}

#[test]
fn zones_are_iana_names_or_offsets_of_iso_8601() {
    for (text, seconds) in [
        ("+05:30", 19_800),
        ("-14:00", -50_400),
        ("+14:00", 50_400),
        ("+00:00", 0),
        ("-00:00", 0),
        ("Z", 0),
        ("UTC", 0),
        ("Asia/Kolkata", 19_800),
        ("America/Argentina/Buenos_Aires", -10_800),
    ] {
        assert_eq!(seconds_ahead(zone(text), at("2024-01-01T00:00:00Z")), seconds, "{text}");
    }
}

#[test]
fn what_is_nearly_a_zone_is_none() {
    for text in [
        "",
        " ",
        "+",
        "-",
        ":",
        "+:",
        "+15:00",
        "-14:01",
        "+14:01",
        "+5:30",
        "05:30",
        "+0530",
        "+05",
        "+05:3",
        "+05:300",
        "+05:60",
        "+-5:30",
        "+05:-3",
        "+ 5:30",
        "++5:30",
        "+05:30:00",
        "utc+1",
        "z",
        "Zulu ",
        "Europe/berlin",
        "EUROPE/BERLIN",
        " Europe/Berlin",
        "Europe/Berlin ",
        "Europe/Berlin\n",
        "Europe/Berlin\0",
        "\u{0}",
        "\t+05:30",
        "+05:30\r\n",
        "Mars/Phobos",
        "+é:30",
        "+05:é",
        "é+05:30",
        "+0é:30",
        "−05:30",
        "+٠٥:٣٠",
        "+05：30",
        "🌍",
        "-🌍",
        "+\u{301}5:30",
        "null",
        "None",
        "local",
        "CEST",
        "+99:99",
        "+2147483648:00",
    ] {
        assert_eq!(text.parse::<Zone>(), Err(UnknownZone), "{text:?}");
    }
}
