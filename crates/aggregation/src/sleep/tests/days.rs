use super::*;
use crate::Reason;
use crate::sleep::Stage::*;
use crate::timestamp::HOUR_US;
use crate::vitals::{self, Change, judge};
use crate::zones::Zones;

#[test]
fn sleep_over_midnight_belongs_to_the_day_of_waking() {
    let night = watch(&[
        (InBed, "2024-03-04 22:30", "2024-03-05 07:00"),
        (Core, "2024-03-04 23:00", "2024-03-05 01:00"),
        (Deep, "2024-03-05 01:00", "2024-03-05 02:30"),
        (Awake, "2024-03-05 02:30", "2024-03-05 02:45"),
        (Rem, "2024-03-05 02:45", "2024-03-05 04:00"),
        (Core, "2024-03-05 04:00", "2024-03-05 06:30"),
    ]);
    let day = World::new("UTC", &[]).day("2024-03-05", &night);
    assert_eq!(day.asleep_minutes, Some(435.0));
    assert_eq!((day.core_minutes, day.deep_minutes), (Some(270.0), Some(90.0)));
    assert_eq!((day.rem_minutes, day.unspecified_minutes), (Some(75.0), Some(0.0)));
    assert_eq!((day.awake_minutes, day.in_bed_minutes), (Some(15.0), Some(510.0)));
    assert_eq!(day.efficiency, Some(435.0 / 510.0));
    assert_eq!(day.main_start, Some(at("2024-03-04 22:30")));
    assert_eq!(day.main_end, Some(at("2024-03-05 07:00")));
    assert_eq!((day.nap_count, day.nap_minutes), (0, Some(0.0)));
    assert_eq!((day.segment_count, day.rejected_count), (6, 0));
    assert_eq!(day.sources, BTreeMap::from([("watch".to_owned(), 6)]));
    assert_eq!(day.primary_source.as_deref(), Some("watch"));
    assert_eq!((day.time_zone.as_str(), day.day_start), ("UTC", at("2024-03-05 00:00")));
    assert_eq!(day.day_end, at("2024-03-06 00:00"));
}

#[test]
fn a_night_lasts_an_hour_less_or_more_when_the_clocks_change() {
    let berlin = World::new("Europe/Berlin", &[]);
    // 23:00 to 07:00 on the clock, both times.
    let spring = watch(&[(Asleep, "2024-03-30 22:00", "2024-03-31 05:00")]);
    let day = berlin.day("2024-03-31", &spring);
    assert_eq!(day.asleep_minutes, Some(7.0 * 60.0));
    assert_eq!(day.day_end.since(day.day_start), 23 * HOUR_US);
    let autumn = watch(&[(Asleep, "2024-10-26 21:00", "2024-10-27 06:00")]);
    let day = berlin.day("2024-10-27", &autumn);
    assert_eq!(day.asleep_minutes, Some(9.0 * 60.0));
    assert_eq!(day.day_end.since(day.day_start), 25 * HOUR_US);
}

#[test]
fn the_longest_sleep_is_the_main_one_and_the_others_are_naps() {
    let day = World::new("UTC", &[]).day(
        "2024-03-05",
        &watch(&[
            (Asleep, "2024-03-05 00:30", "2024-03-05 01:30"),
            (Asleep, "2024-03-05 05:00", "2024-03-05 11:00"),
            (Asleep, "2024-03-05 15:00", "2024-03-05 15:30"),
            (InBed, "2024-03-05 19:00", "2024-03-05 23:00"),
        ]),
    );
    assert_eq!(day.main_start, Some(at("2024-03-05 05:00")));
    assert_eq!((day.nap_count, day.nap_minutes), (2, Some(90.0)));
    assert_eq!(day.asleep_minutes, Some(450.0), "naps are sleep");
    assert_eq!(day.in_bed_minutes, Some(690.0), "lying down without sleep is no nap, but in bed");
}

#[test]
fn a_session_without_sleep_is_no_main_one_however_long() {
    let utc = World::new("UTC", &[]);
    let bed = (InBed, "2024-03-05 00:00", "2024-03-05 07:00");
    let awake = (Awake, "2024-03-05 15:00", "2024-03-05 15:20");
    let day = utc.day("2024-03-05", &watch(&[bed, awake]));
    assert_eq!((day.main_start, day.main_end, day.nap_count), (None, None, 0));
    assert_eq!((day.in_bed_minutes, day.awake_minutes), (Some(420.0), Some(20.0)));
    assert_eq!(day.primary_source.as_deref(), Some("watch"));
    let nap = (Asleep, "2024-03-05 20:00", "2024-03-05 20:20");
    let day = utc.day("2024-03-05", &watch(&[bed, awake, nap]));
    assert_eq!((day.main_start, day.nap_count), (Some(at("2024-03-05 20:00")), 0));
}

#[test]
fn of_two_sleeps_of_one_length_the_main_one_was_longer_in_bed_or_earlier() {
    let mut sleeps = vec![
        (Asleep, "2024-03-05 01:00", "2024-03-05 02:00"),
        (Asleep, "2024-03-05 10:00", "2024-03-05 11:00"),
    ];
    let utc = World::new("UTC", &[]);
    assert_eq!(utc.day("2024-03-05", &watch(&sleeps)).main_start, Some(at("2024-03-05 01:00")));
    sleeps.push((InBed, "2024-03-05 09:59", "2024-03-05 10:30"));
    assert_eq!(utc.day("2024-03-05", &watch(&sleeps)).main_start, Some(at("2024-03-05 09:59")));
}

#[test]
fn a_gap_of_two_hours_joins_and_one_microsecond_more_parts() {
    let utc = World::new("UTC", &[]);
    let mut both = watch(&[
        (Asleep, "2024-03-05 00:00", "2024-03-05 03:00"),
        (Asleep, "2024-03-05 05:00", "2024-03-05 07:00"),
    ]);
    let day = utc.day("2024-03-05", &both);
    assert_eq!((day.main_start, day.nap_count), (Some(at("2024-03-05 00:00")), 0));
    assert_eq!((day.asleep_minutes, day.in_bed_minutes), (Some(300.0), Some(420.0)));

    let second = &mut both.get_mut(&Asleep).unwrap()[1];
    second.started_at = second.started_at.plus(1);
    let day = utc.day("2024-03-05", &both);
    assert_eq!((day.main_end, day.nap_count), (Some(at("2024-03-05 03:00")), 1));
    assert_eq!(day.in_bed_minutes, day.asleep_minutes);
}

#[test]
fn a_row_without_length_counts_nothing_and_links_nothing() {
    let utc = World::new("UTC", &[]);
    let instant = [(Deep, "2024-03-05 05:00", "2024-03-05 05:00")];
    assert!(utc.days(&watch(&instant)).is_empty());
    let between = watch(&[
        (Asleep, "2024-03-05 00:00", "2024-03-05 03:30"),
        instant[0],
        (Asleep, "2024-03-05 06:30", "2024-03-05 07:00"),
    ]);
    let day = utc.day("2024-03-05", &between);
    assert_eq!((day.nap_count, day.segment_count, day.rejected_count), (1, 2, 0));
    assert_eq!(day.deep_minutes, None);
}

#[test]
fn an_instant_is_awake_before_deep_rem_core_and_asleep() {
    let day = World::new("UTC", &[]).day(
        "2024-03-05",
        &watch(&[
            (Asleep, "2024-03-05 00:00", "2024-03-05 08:00"),
            (Awake, "2024-03-05 03:00", "2024-03-05 04:00"),
            (Deep, "2024-03-05 03:30", "2024-03-05 05:00"),
            (Rem, "2024-03-05 04:30", "2024-03-05 05:30"),
            (Core, "2024-03-05 04:00", "2024-03-05 06:00"),
        ]),
    );
    assert_eq!((day.asleep_minutes, day.awake_minutes), (Some(420.0), Some(60.0)));
    assert_eq!((day.deep_minutes, day.rem_minutes), (Some(60.0), Some(30.0)));
    assert_eq!((day.core_minutes, day.unspecified_minutes), (Some(30.0), Some(300.0)));
}

#[test]
fn a_short_awakening_inside_a_stage_is_no_sleep() {
    // The form of an export of Fitbit.
    let day = World::new("UTC", &[]).day(
        "2024-03-05",
        &watch(&[
            (Core, "2024-03-05 00:00", "2024-03-05 01:00"),
            (Awake, "2024-03-05 00:20", "2024-03-05 00:30"),
        ]),
    );
    assert_eq!((day.asleep_minutes, day.core_minutes), (Some(50.0), Some(50.0)));
    assert_eq!((day.awake_minutes, day.in_bed_minutes), (Some(10.0), Some(60.0)));
}

#[test]
fn what_a_source_cannot_know_is_not_zero() {
    let utc = World::new("UTC", &[]);
    let in_bed = utc.day("2024-03-05", &watch(&[(InBed, "2024-03-04 22:00", "2024-03-05 06:00")]));
    assert_eq!((in_bed.asleep_minutes, in_bed.awake_minutes), (None, None));
    assert_eq!((in_bed.in_bed_minutes, in_bed.efficiency), (Some(480.0), None));
    assert_eq!((in_bed.nap_count, in_bed.nap_minutes), (0, None));

    let asleep = utc.day("2024-03-05", &watch(&[(Asleep, "2024-03-04 22:00", "2024-03-05 06:00")]));
    assert_eq!((asleep.unspecified_minutes, asleep.efficiency), (Some(480.0), Some(1.0)));
    assert_eq!((asleep.deep_minutes, asleep.awake_minutes), (None, None));

    let awake = utc.day("2024-03-05", &watch(&[(Awake, "2024-03-05 02:00", "2024-03-05 03:00")]));
    assert_eq!((awake.awake_minutes, awake.asleep_minutes), (Some(60.0), None));
    assert_eq!((awake.in_bed_minutes, awake.efficiency), (None, None));
}

#[test]
fn who_sleeps_is_in_bed_so_that_efficiency_is_never_above_one() {
    let day = World::new("UTC", &[]).day(
        "2024-03-05",
        &watch(&[
            (InBed, "2024-03-04 23:00", "2024-03-05 01:00"),
            (Core, "2024-03-05 00:00", "2024-03-05 06:00"),
            (Awake, "2024-03-05 06:00", "2024-03-05 07:00"),
        ]),
    );
    assert_eq!((day.in_bed_minutes, day.efficiency), (Some(420.0), Some(360.0 / 420.0)));
}

#[test]
fn a_row_sent_again_is_one_row_the_newest() {
    let utc = World::new("UTC", &[]);
    let first = row("watch", "2024-03-04 22:00", "2024-03-05 06:00");
    let newest = RawVital { id: 2, ..in_zone("Pacific/Kiritimati", first.clone()) };
    let later = row("watch", "2024-03-05 06:00", "2024-03-05 20:00");
    let mut rows = rows(&[(Asleep, newest), (Asleep, first)]);
    let day = utc.day("2024-03-05", &rows);
    assert_eq!((day.segment_count, day.time_zone.as_str()), (1, "Pacific/Kiritimati"));
    // A row of the same time in another stage is no repetition.
    rows.insert(Core, vec![later]);
    assert_eq!(utc.day("2024-03-05", &rows).segment_count, 2);
}

#[test]
fn a_traveller_wakes_on_the_date_where_the_night_ends() {
    let berlin = World::new("Europe/Berlin", &[]);
    let flight = [
        (Core, in_zone("Europe/Berlin", row("watch", "2024-03-05 21:00", "2024-03-05 22:00"))),
        (Deep, in_zone("Asia/Dubai", row("watch", "2024-03-05 22:00", "2024-03-05 23:30"))),
        (Rem, in_zone("America/Los_Angeles", row("watch", "2024-03-06 00:00", "2024-03-06 04:00"))),
    ];
    // 04:00 UTC is 20:00 on the day before in Los Angeles.
    let day = berlin.day("2024-03-05", &rows(&flight));
    assert_eq!(day.asleep_minutes, Some(390.0));
    assert_eq!(day.time_zone, "Europe/Berlin", "no zone is shared, so it is the profile's");
    let shared = berlin.day("2024-03-05", &rows(&flight[2..]));
    assert_eq!(shared.time_zone, "America/Los_Angeles");
    let nowhere = World::new("nowhere", &[]).day("2024-03-05", &rows(&flight));
    assert_eq!(nowhere.time_zone, "America/Los_Angeles", "without a profile's that of waking");
}

#[test]
fn of_rows_that_end_together_the_one_that_began_last_says_where() {
    let all_night = in_zone("UTC", row("watch", "2024-03-05 01:00", "2024-03-05 20:00"));
    let end = in_zone("Asia/Tokyo", row("watch", "2024-03-05 19:00", "2024-03-05 20:00"));
    let utc = World::new("UTC", &[]);
    let both = [(InBed, all_night.clone()), (Core, end.clone())];
    utc.day("2024-03-06", &rows(&both));
    utc.day("2024-03-06", &rows(&[(Core, all_night), (InBed, end)]));
}

fn valued(value: f64, unit: &str, row: &RawVital) -> RawVital {
    RawVital { value, unit: unit.into(), ..row.clone() }
}

#[test]
fn rejected_rows_are_counted_where_they_start_and_have_no_part_in_the_figures() {
    let utc = World::new("UTC", &[]);
    let night = row("watch", "2024-03-04 22:00", "2024-03-05 06:00");
    let wrong = [
        (row("watch", "2024-03-05 05:00", "2024-03-05 04:00"), Reason::EndBeforeStart),
        (row("watch", "2024-03-05 05:00", "2024-03-07 05:01"), Reason::IntervalTooLong),
        (in_zone("Mars", night.clone()), Reason::UnknownTimeZone),
        (RawVital { ended_at: Timestamp(i64::MAX), ..night.clone() }, Reason::TimeOutOfRange),
        (RawVital { started_at: Timestamp(i64::MIN), ..night.clone() }, Reason::TimeOutOfRange),
        (RawVital { value: f64::NAN, ..night.clone() }, Reason::NonFiniteValue),
        (valued(f64::INFINITY, "min", &night), Reason::NonFiniteValue),
        (valued(480.0, "mg", &night), Reason::UnknownUnit),
        (valued(480.0, "zqx", &night), Reason::UnknownUnit),
        (valued(-1.0, "min", &night), Reason::ImplausibleValue),
        (valued(48.1, "h", &night), Reason::ImplausibleValue),
        (RawVital { comparator: Some("~".into()), ..night.clone() }, Reason::UnknownComparator),
    ];
    let metric = utc.catalogue.metric("sleep_core");
    let mut zones = Zones::new(&utc.base_zone);
    for (row, reason) in &wrong {
        assert_eq!(judge(row, metric, &mut zones).unwrap_err(), *reason);
    }
    let sound = [valued(0.0, "", &night), valued(1e9, "", &night), valued(1.0, "min", &night)];
    let also = [valued(8.0, "h", &night), valued(480.0, "min", &night)];
    for row in sound.iter().chain(&also) {
        // The row lasts from its start to its end, for any value.
        assert_eq!(judge(row, metric, &mut zones).unwrap().value, 0.0);
    }

    // The night counts because it was sent last.
    let night = RawVital { id: 2, ..night };
    let mut rows = rows(&wrong.map(|(row, _)| (Core, row)));
    let days = utc.days(&rows);
    assert_eq!(days.keys().collect::<Vec<_>>(), ["2024-03-04", "2024-03-05"]);
    assert_eq!(days["2024-03-04"].rejected_count, 8);
    assert_eq!((days["2024-03-05"].rejected_count, days["2024-03-05"].segment_count), (2, 0));
    assert_eq!(days["2024-03-05"].in_bed_minutes, None);
    rows.insert(Deep, vec![night]);
    assert_eq!(utc.days(&rows)["2024-03-05"].asleep_minutes, Some(480.0));
}

#[test]
fn other_vitals_know_nothing_of_sleep() {
    let utc = World::new("UTC", &[]);
    let change = Change {
        metric: "sleep_core".to_owned(),
        starts_at: at("2024-03-05 01:00"),
        ends_at: at("2024-03-05 02:00"),
        time_zone: None,
        whole_day: false,
    };
    let changes = [Change { metric: "steps".to_owned(), ..change.clone() }, change];
    let of_vitals = vitals::scope::scope(&changes, &utc.catalogue, &utc.base_zone);
    assert_eq!(of_vitals.keys().collect::<Vec<_>>(), ["steps"]);
    assert!(scope(&changes[..1], &utc.catalogue, &utc.base_zone).is_empty());
    assert!(!scope(&changes, &utc.catalogue, &utc.base_zone).is_empty());
}
