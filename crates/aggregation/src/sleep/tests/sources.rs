//! Several sources of one night, and periods without an end.

use super::*;
use crate::sleep::Stage::*;
use crate::timestamp::{DAY_US, HOUR_US};

const UTC: fn(&[&str]) -> World = |order| World::new("UTC", order);

/// `(stage, source, from, to)`
fn night(segments: &[(Stage, &str, &str, &str)]) -> Rows {
    let of_source = |(s, source, from, to): &(Stage, &str, &str, &str)| (*s, row(source, from, to));
    rows(&segments.iter().map(of_source).collect::<Vec<_>>())
}

#[test]
fn the_profiles_best_source_counts_and_only_its_segments() {
    let both = night(&[
        (Core, "watch", "2024-03-04 23:00", "2024-03-05 06:00"),
        (Asleep, "phone", "2024-03-04 22:00", "2024-03-05 07:30"),
    ]);
    let asleep = |order: &[&str]| UTC(order).day("2024-03-05", &both).asleep_minutes;
    assert_eq!(asleep(&["watch", "phone"]), Some(420.0));
    assert_eq!(asleep(&["phone", "watch"]), Some(570.0));
    assert_eq!(asleep(&["phone"]), Some(570.0), "who is not listed comes after");
    let day = UTC(&["phone"]).day("2024-03-05", &both);
    assert_eq!(day.sources, BTreeMap::from([("phone".to_owned(), 1)]));
    assert_eq!((day.primary_source.as_deref(), day.nap_count), (Some("phone"), 0));
}

#[test]
fn sources_that_no_profile_lists_are_told_apart_by_what_they_measured() {
    let winner = |segments: &[(Stage, &str, &str, &str)]| {
        UTC(&[]).day("2024-03-05", &night(segments)).primary_source.unwrap()
    };
    let long = (Asleep, "a", "2024-03-04 22:00", "2024-03-05 07:00");
    let staged = (Rem, "b", "2024-03-05 02:00", "2024-03-05 06:30");
    assert_eq!(winner(&[long, staged]), "b", "stages before none");
    let longer = (Asleep, "c", "2024-03-04 21:00", "2024-03-05 07:00");
    assert_eq!(winner(&[long, longer]), "c", "the longer sleep");
    let in_bed = (InBed, "d", "2024-03-04 21:00", "2024-03-04 22:00");
    assert_eq!(winner(&[long, in_bed, (Asleep, "d", long.2, long.3)]), "d", "the longer time");
    assert_eq!(winner(&[(Asleep, "e", long.2, long.3), long]), "a", "the name");
}

#[test]
fn who_only_knows_the_bed_never_hides_who_knows_of_sleep() {
    let order = ["phone", "watch"];
    let both = night(&[
        (InBed, "phone", "2024-03-04 22:00", "2024-03-05 07:30"),
        (Awake, "phone", "2024-03-04 22:00", "2024-03-04 22:10"),
        (Asleep, "watch", "2024-03-04 23:00", "2024-03-05 06:00"),
    ]);
    let day = UTC(&order).day("2024-03-05", &both);
    assert_eq!((day.primary_source.as_deref(), day.asleep_minutes), (Some("watch"), Some(420.0)));
    assert_eq!(day.in_bed_minutes, Some(420.0), "the bed of another source does not count");
}

#[test]
fn a_better_source_with_only_a_nap_leaves_the_night_to_the_other() {
    let day = UTC(&["watch"]).day(
        "2024-03-05",
        &night(&[
            (Asleep, "phone", "2024-03-04 23:00", "2024-03-05 06:00"),
            (Core, "watch", "2024-03-05 14:00", "2024-03-05 14:30"),
            (Asleep, "phone", "2024-03-05 13:50", "2024-03-05 14:50"),
        ]),
    );
    assert_eq!((day.asleep_minutes, day.nap_minutes), (Some(450.0), Some(30.0)));
    assert_eq!(day.primary_source.as_deref(), Some("phone"));
    assert_eq!(day.sources.len(), 2);
}

#[test]
fn a_watch_that_died_in_the_night_leaves_it_to_the_ring() {
    let ring = (Core, "ring", "2024-03-04 22:25", "2024-03-05 06:25");
    let source = |until: &str| {
        let both = night(&[ring, (Core, "watch", "2024-03-04 22:30", until)]);
        UTC(&["watch", "ring"]).day("2024-03-05", &both).primary_source.unwrap()
    };
    assert_eq!(source("2024-03-04 22:50"), "ring");
    assert_eq!(source("2024-03-05 02:29"), "ring");
    assert_eq!(source("2024-03-05 02:30"), "watch", "half of the longest recording");
}

#[test]
fn a_watch_that_died_in_the_night_does_not_hide_the_time_in_bed() {
    let watch = (Core, "watch", "2024-03-04 22:30", "2024-03-05 02:30");
    let with_bed = |until: &str| {
        let both = night(&[watch, (InBed, "phone", "2024-03-04 22:00", until)]);
        let day = UTC(&["watch"]).days(&both).remove("2024-03-05");
        day.map(|day| (day.asleep_minutes, day.in_bed_minutes))
    };
    assert_eq!(with_bed("2024-03-05 06:00"), Some((Some(240.0), Some(240.0))));
    assert_eq!(with_bed("2024-03-05 06:01"), Some((None, Some(481.0))));
    // A time in bed counts as at most 12 hours in comparisons.
    assert_eq!(with_bed("2024-03-05 10:00"), Some((None, Some(720.0))));
    assert_eq!(with_bed("2024-03-05 10:01"), Some((Some(240.0), Some(240.0))));
}

#[test]
fn a_session_is_beaten_only_by_one_that_counts() {
    let of = |segments: &[(Stage, &str, &str, &str)]| {
        let day = UTC(&["watch", "ring", "phone"]).day("2024-03-05", &night(segments));
        (day.asleep_minutes, day.nap_minutes)
    };
    let watch = (Core, "watch", "2024-03-04 23:00", "2024-03-05 03:00");
    let ring = (Core, "ring", "2024-03-04 23:10", "2024-03-05 07:00");
    // Asleep again, with the ring on its charger.
    let phone = (Asleep, "phone", "2024-03-05 08:30", "2024-03-05 10:00");
    assert_eq!(of(&[watch, phone]), (Some(330.0), Some(90.0)));
    assert_eq!(of(&[watch, ring, phone]), (Some(330.0), Some(90.0)), "the ring does not count");
    assert_eq!(of(&[ring, phone]), (Some(470.0), Some(0.0)));
}

#[test]
fn sources_that_know_of_no_sleep_compete_by_time_covered() {
    let phone = (InBed, "phone", "2024-03-04 23:00", "2024-03-05 07:00");
    let app = (Awake, "app", "2024-03-05 03:00", "2024-03-05 03:15");
    for order in [&[][..], &["app", "phone"]] {
        let day = UTC(order).day("2024-03-05", &night(&[phone, app]));
        assert_eq!(
            (day.in_bed_minutes, day.primary_source.as_deref()),
            (Some(480.0), Some("phone"))
        );
        assert_eq!((day.asleep_minutes, day.efficiency, day.awake_minutes), (None, None, None));
    }
}

#[test]
fn another_source_does_not_join_what_the_best_one_parts() {
    let day = UTC(&["watch"]).day(
        "2024-03-05",
        &night(&[
            (InBed, "phone", "2024-03-04 22:00", "2024-03-05 12:00"),
            (Core, "watch", "2024-03-04 23:00", "2024-03-05 05:00"),
            (Core, "watch", "2024-03-05 08:00", "2024-03-05 09:00"),
        ]),
    );
    assert_eq!((day.nap_count, day.in_bed_minutes), (1, Some(420.0)));
}

#[test]
fn a_sensor_of_the_bed_tears_no_session_of_the_watch() {
    let day = UTC(&["watch"]).day(
        "2024-03-05",
        &night(&[
            (InBed, "bed", "2024-03-05 00:00", "2024-03-06 06:00"),
            (Asleep, "watch", "2024-03-05 09:00", "2024-03-05 15:00"),
        ]),
    );
    assert_eq!(
        (day.main_start, day.main_end),
        (Some(at("2024-03-05 09:00")), Some(at("2024-03-05 15:00")))
    );
    assert_eq!((day.asleep_minutes, day.nap_count), (Some(360.0), 0));
    // A sensor that is never switched off does not hide it, either.
    let mut weeks = night(&[(Asleep, "watch", "2024-03-05 09:00", "2024-03-05 15:00")]);
    let bed = (0..30).map(|day| {
        let start = at("2024-02-20 00:00").plus(day * DAY_US);
        RawVital {
            started_at: start,
            ended_at: start.plus(DAY_US),
            ..row("bed", "2024-03-05 00:00", "2024-03-05 00:00")
        }
    });
    weeks.insert(InBed, bed.collect());
    let days = UTC(&["watch"]).days(&weeks);
    let day = &days["2024-03-05"];
    assert_eq!(
        (day.main_start, day.main_end),
        (Some(at("2024-03-05 09:00")), Some(at("2024-03-05 15:00")))
    );
    assert_eq!((day.primary_source.as_deref(), day.nap_count), (Some("watch"), 0));
    assert_eq!(days["2024-03-08"].primary_source.as_deref(), Some("bed"));
}

#[test]
fn a_row_of_more_than_a_day_is_one_session_of_the_date_of_waking() {
    let row = watch(&[(Asleep, "2024-03-05 06:00", "2024-03-06 07:00")]);
    let day = UTC(&[]).day("2024-03-06", &row);
    assert_eq!((day.asleep_minutes, day.nap_count), (Some(25.0 * 60.0), 0));
}

#[test]
fn two_watches_worn_by_turns_each_tell_their_nights_however_long_the_bed_goes_on() {
    let days = UTC(&["watch", "ring"]).days(&night(&[
        (InBed, "bed", "2024-03-04 20:00", "2024-03-06 12:00"),
        (Core, "watch", "2024-03-04 23:00", "2024-03-05 06:00"),
        (Core, "ring", "2024-03-05 22:00", "2024-03-06 05:00"),
    ]));
    let sources = days.iter().map(|(date, day)| (&date[8..], day.primary_source.as_deref()));
    assert_eq!(sources.collect::<Vec<_>>(), [("05", Some("watch")), ("06", Some("ring"))]);
}

#[test]
fn less_than_four_days_are_whole_and_more_are_cut_at_noons_two_days_from_both_ends() {
    let berlin = World::new("Europe/Berlin", &[]);
    // Noon is 10:00 UTC.
    let bed = |until: Timestamp| {
        let starts = (0..3).map(|n| at("2024-07-01 10:00").plus(n * 32 * HOUR_US));
        let of_bed = |start: Timestamp| RawVital {
            started_at: start,
            ended_at: start.plus(32 * HOUR_US).min(until),
            ..row("cot", "2024-07-01 10:00", "2024-07-01 10:00")
        };
        Rows::from([(Asleep, starts.map(of_bed).collect())])
    };
    let days = berlin.days(&bed(at("2024-07-05 10:00").plus(-1)));
    assert_eq!(days.keys().collect::<Vec<_>>(), ["2024-07-05"]);
    assert_eq!(days["2024-07-05"].segment_count, 3);
    let days = berlin.days(&bed(at("2024-07-05 10:00")));
    assert_eq!(days.keys().collect::<Vec<_>>(), ["2024-07-03", "2024-07-05"]);
    let lengths = days.values().map(|day| (day.asleep_minutes, day.segment_count));
    // A segment across the noon counts as two.
    assert_eq!(lengths.collect::<Vec<_>>(), [(Some(2880.0), 2), (Some(2880.0), 2)]);
}

#[test]
fn a_bed_that_nobody_ever_leaves_has_a_night_on_each_date() {
    let bed = ["01", "03", "05"].map(|day| {
        let from = row("bed", &format!("2024-03-{day} 00:00"), "2024-03-01 00:00");
        (InBed, RawVital { ended_at: from.started_at.plus(2 * DAY_US), ..from })
    });
    let mut bed = rows(&bed);
    bed.insert(Core, vec![row("bed", "2024-03-03 23:00", "2024-03-04 06:00")]);
    let days = UTC(&[]).days(&bed);
    let dates: Vec<_> = days.keys().map(|date| &date[8..]).collect();
    // Cuts are possible from the third day on, until the third before the end.
    assert_eq!(dates, ["03", "04", "07"]);
    let in_bed = |date: &str| days[&format!("2024-03-{date}")].in_bed_minutes;
    assert_eq!(
        (in_bed("03"), in_bed("04"), in_bed("07")),
        (Some(3600.0), Some(1440.0), Some(3600.0))
    );
    assert_eq!(days["2024-03-04"].efficiency, Some(420.0 / 1440.0));
}

#[test]
fn a_noon_is_that_of_the_clock_also_when_it_changes() {
    let berlin = "Europe/Berlin".parse().unwrap();
    let noon = |text| period::noon_after(berlin, at(text));
    assert_eq!(noon("2024-03-30 11:00"), at("2024-03-31 10:00"));
    assert_eq!(noon("2024-03-31 09:59"), at("2024-03-31 10:00"));
    assert_eq!(noon("2024-10-27 10:59"), at("2024-10-27 11:00"));
    // Samoa skipped the 30th of December 2011.
    let apia = "Pacific/Apia".parse().unwrap();
    assert_eq!(period::noon_after(apia, at("2011-12-29 22:00")), at("2011-12-30 22:00"));
}
