//! Late, corrected and deleted rows.

use super::store::Store;
use super::*;
use crate::sleep::Stage::*;
use crate::timestamp::HOUR_US;

fn berlin() -> Store {
    Store::new(World::new("Europe/Berlin", &["watch", "phone"]))
}

/// A night of the watch from 23:00 to 06:00 in Berlin, in rows of an hour.
fn a_night(store: &mut Store, date: u32) {
    let fell_asleep = at(&format!("2024-05-{:02} 21:00", date - 1));
    for (hour, stage) in [Core, Deep, Core, Rem, Awake, Core, Rem].into_iter().enumerate() {
        let start = fell_asleep.plus(hour as i64 * HOUR_US);
        let row = row("watch", "2024-05-01 00:00", "2024-05-01 00:00");
        let row = RawVital { started_at: start, ended_at: start.plus(HOUR_US), ..row };
        store.insert(stage, row);
    }
}

#[test]
fn a_session_whose_end_moves_over_midnight_leaves_the_date_that_it_had() {
    let mut store = berlin();
    let id = store.insert(Asleep, row("watch", "2024-05-01 19:00", "2024-05-01 21:30"));
    store.process_all(1);
    assert_eq!(store.dates(), ["2024-05-01"]);
    store.update(id, Asleep, row("watch", "2024-05-01 19:00", "2024-05-01 22:00"));
    store.process_all(1);
    store.check();
    assert_eq!(store.dates(), ["2024-05-02"]);
    // The phone's row in bed does not join the watch's segments, but a row of sleep does.
    let late = store.insert(Core, row("watch", "2024-05-02 00:00", "2024-05-02 22:01"));
    store.process_all(1);
    store.check();
    store.delete(late);
    store.process_all(1);
    store.check();
    store.delete(id);
    store.process_all(1);
    store.check();
    assert!(store.dates().is_empty());
}

#[test]
fn rows_of_a_night_in_any_batches_touch_its_day_alone() {
    let mut store = berlin();
    for date in 2..8 {
        a_night(&mut store, date);
    }
    store.process_all(100);
    store.check();
    assert_eq!(store.dates().len(), 6);
    store.longest_read = 0;
    let before = store.dates();
    a_night(&mut store, 8);
    store.process_all(3);
    store.check();
    assert_eq!(store.dates().len(), before.len() + 1);
    // A date anywhere on earth, and a date before it whose rows were changed.
    assert!(store.longest_read <= 90 * HOUR_US, "{} h", store.longest_read / HOUR_US);
}

#[test]
fn a_whole_night_in_one_batch_is_read_once() {
    let mut store = berlin();
    for date in 2..8 {
        a_night(&mut store, date);
        store.process_all(100);
        assert_eq!(store.rounds, 1);
    }
    store.check();
}

#[test]
fn a_month_in_bed_is_never_read_whole() {
    let mut store = berlin();
    let midnight = at("2024-05-01 00:00");
    let bed = |day: i64| {
        let start = midnight.plus(day * DAY_US);
        let row = row("phone", "2024-05-01 00:00", "2024-05-01 00:00");
        RawVital { started_at: start, ended_at: start.plus(DAY_US), ..row }
    };
    let ids: Vec<_> = (0..60).map(|day| store.insert(InBed, bed(day))).collect();
    store.process_all(7);
    store.check();
    assert_eq!(store.dates().len(), 57, "two days at both ends are one session with the next");
    store.longest_read = 0;
    store.delete(ids[30]);
    store.process_all(1);
    store.check();
    store.insert(InBed, bed(30));
    store.process_all(1);
    store.check();
    // Four days to both sides of the row and of the dates whose cuts it may decide.
    assert!(store.longest_read <= 16 * DAY_US, "{} days", store.longest_read / DAY_US);
    assert!(store.rounds <= 4, "{} rounds", store.rounds);
}

#[test]
fn a_rejected_row_counts_until_it_is_corrected() {
    let mut store = berlin();
    a_night(&mut store, 2);
    let wrong = store.insert(Core, row("watch", "2024-05-03 20:00", "2024-05-03 19:00"));
    store.process_all(1);
    store.check();
    assert_eq!(store.dates(), ["2024-05-02", "2024-05-03"]);
    store.update(wrong, Core, row("watch", "2024-05-03 20:00", "2024-05-03 20:00"));
    store.process_all(1);
    store.check();
    assert_eq!(store.dates(), ["2024-05-02"]);
}

#[test]
fn when_the_newest_of_rows_for_one_sample_goes_the_other_comes_back_with_its_zone() {
    let mut store = berlin();
    let night = row("watch", "2024-05-01 22:00", "2024-05-02 06:00");
    store.insert(Asleep, night.clone());
    let tonga = RawVital { time_zone: Some("Pacific/Tongatapu".into()), ..night };
    let again = store.insert(Asleep, tonga.clone());
    let later = RawVital { ended_at: at("2024-05-02 12:00"), ..tonga };
    store.process_all(1);
    store.check();
    assert_eq!(store.dates(), ["2024-05-02"]);
    store.update(again, Asleep, later);
    store.process_all(1);
    store.check();
    assert_eq!(store.dates(), ["2024-05-03"], "13 hours ahead of UTC");
    store.delete(again);
    store.process_all(1);
    store.check();
    assert_eq!(store.dates(), ["2024-05-02"]);
}

#[test]
fn a_day_stored_under_another_profile_gives_its_sessions_to_the_dates_that_they_have_now() {
    let mut store = Store::new(World::new("UTC", &[]));
    store.insert(Asleep, row("watch", "2024-05-01 22:00", "2024-05-02 05:00"));
    store.insert(Asleep, row("watch", "2024-05-02 19:00", "2024-05-02 19:30"));
    store.process_all(9);
    assert_eq!(store.dates(), ["2024-05-02"]);
    store.world = World::new("Asia/Tokyo", &[]);
    store.process_all(9);
    assert_eq!(store.dates(), ["2024-05-02"], "a profile changes no day by itself");
    // The nap of the evening is unchanged, but the day that counted it is recomputed.
    store.insert(Core, row("watch", "2024-05-02 05:00", "2024-05-02 05:10"));
    store.process_all(9);
    store.check();
    assert_eq!(store.dates(), ["2024-05-02", "2024-05-03"]);
}

#[test]
fn a_rival_that_goes_on_beyond_what_was_read_is_read_to_its_end() {
    // 23:30 on the 2nd in Los Angeles is 06:30 of the 3rd; the date ends there at 07:00, and
    // anywhere on earth at 16:00. The first rows read end two hours later, and have no sleep.
    let mut store = Store::new(World::new("America/Los_Angeles", &["bed"]));
    let asleep = store.insert(Asleep, row("bed", "2024-05-03 18:30", "2024-05-03 22:30"));
    store.insert(InBed, row("bed", "2024-05-03 05:00", "2024-05-03 17:50"));
    store.process_all(1);
    store.insert(Asleep, row("phone", "2024-05-03 04:00", "2024-05-03 06:30"));
    store.process_all(1);
    store.check();
    assert_eq!(store.dates(), ["2024-05-03"], "the bed knows best of all its session");
    store.delete(asleep);
    store.process_all(1);
    store.check();
    assert_eq!(store.dates(), ["2024-05-02"]);
}

#[test]
fn a_row_ten_days_before_a_session_ends_may_decide_whether_it_stands() {
    // Two chains of the maximum length without a cut, one after the other.
    let mut store = Store::new(World::new("UTC", &["b", "a"]));
    let mut in_bed = |source: &str, stage: Stage, first: &str, last: &str| {
        let (mut start, end) = (at(first), at(last));
        while start < end {
            let until = start.plus(DAY_US).min(end);
            let row = row(source, "2024-05-01 00:00", "2024-05-01 00:00");
            store.insert(stage, RawVital { started_at: start, ended_at: until, ..row });
            start = until;
        }
    };
    in_bed("b", InBed, "2024-05-01 13:00", "2024-05-06 11:59");
    in_bed("a", Asleep, "2024-05-06 12:01", "2024-05-11 11:59");
    let asleep = row("b", "2024-05-01 12:01", "2024-05-01 13:00");
    store.process_all(1);
    store.check();
    assert_eq!(store.dates(), ["2024-05-11"]);

    let id = store.insert(Asleep, asleep.clone());
    store.process_all(1);
    store.check();
    assert_eq!(store.dates(), ["2024-05-06"], "the better source knows of sleep now");

    // Two more days before it, and it is cut: its last piece has no sleep.
    let before = store.insert(InBed, row("b", "2024-04-29 12:00", "2024-05-01 12:00"));
    store.process_all(1);
    store.check();
    assert_eq!(store.dates().last().unwrap(), "2024-05-11");
    store.delete(before);
    store.process_all(1);
    store.check();
    assert_eq!(store.dates(), ["2024-05-06"]);
    store.delete(id);
    store.process_all(1);
    store.check();
    assert_eq!(store.dates(), ["2024-05-11"]);
    // For a row of the session itself, reading from its own end is enough.
    store.insert(Asleep, asleep);
    store.process_all(1);
    store.insert(Core, row("a", "2024-05-11 11:00", "2024-05-11 11:30"));
    store.process_all(1);
    store.check();
    assert_eq!(store.dates(), ["2024-05-06"]);
    store.backfill_of("2024-05-11");
    store.check();
    assert!(store.rounds <= 6, "{} rounds", store.rounds);
}
