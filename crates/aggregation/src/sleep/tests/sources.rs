//! Several sources of one night, and periods without an end.

use super::*;
use crate::sleep::Stage::*;
use crate::timestamp::HOUR_US;

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
    let staged = (Rem, "b", "2024-03-05 02:00", "2024-03-05 03:00");
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
            (Asleep, "phone", "2024-03-05 13:50", "2024-03-05 15:00"),
        ]),
    );
    assert_eq!((day.asleep_minutes, day.nap_minutes), (Some(450.0), Some(30.0)));
    assert_eq!(day.primary_source.as_deref(), Some("phone"));
    assert_eq!(day.sources.len(), 2);
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
fn a_period_of_a_day_is_whole_and_a_longer_one_is_cut_at_noon() {
    let berlin = World::new("Europe/Berlin", &[]);
    let mut naps = night(&[
        (Asleep, "cot", "2024-07-01 14:00", "2024-07-02 02:00"),
        (Asleep, "cot", "2024-07-02 04:00", "2024-07-02 14:00"),
    ]);
    let day = berlin.day("2024-07-02", &naps);
    assert_eq!((day.asleep_minutes, day.nap_count), (Some(22.0 * 60.0), 0));

    let last = &mut naps.get_mut(&Asleep).unwrap()[1];
    last.ended_at = last.ended_at.plus(1);
    let day = berlin.day("2024-07-02", &naps);
    assert_eq!(
        (day.main_start, day.main_end),
        (Some(at("2024-07-01 14:00")), Some(at("2024-07-02 10:00")))
    );
    assert_eq!((day.nap_count, day.segment_count), (1, 3), "a segment over the noon is two");
    assert_eq!(day.asleep_minutes, Some((22 * HOUR_US + 1) as f64 / MINUTE_US as f64));
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
    assert_eq!(dates, ["01", "02", "03", "04", "05", "06", "07"]);
    let in_bed = |date: &str| days[&format!("2024-03-{date}")].in_bed_minutes;
    assert_eq!(
        (in_bed("01"), in_bed("02"), in_bed("07")),
        (Some(720.0), Some(1440.0), Some(720.0))
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
    // Samoa left out the 30th of December 2011.
    let apia = "Pacific/Apia".parse().unwrap();
    assert_eq!(period::noon_after(apia, at("2011-12-29 22:00")), at("2011-12-30 22:00"));
}
