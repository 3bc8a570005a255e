use std::collections::BTreeSet;

use proptest::prelude::*;

use super::store::{Store, change};
use super::*;
use crate::SharedStr;
use crate::local_time::WIDEST_OFFSET_US;
use crate::timestamp::{HOUR_US, MINUTE_US};

fn any_stage() -> impl Strategy<Value = Stage> {
    prop::sample::select(&Stage::ALL)
}

fn any_world() -> impl Strategy<Value = World> {
    let zone = prop_oneof![
        Just("Europe/Berlin"),
        Just("America/Los_Angeles"),
        Just("Pacific/Kiritimati"),
        Just("Pacific/Apia"),
        Just("nowhere"),
    ];
    let order = prop_oneof![
        Just(&[][..]),
        Just(&["a"][..]),
        Just(&["b", "a", "c"][..]),
        Just(&["c", "b"][..]),
    ];
    (zone, order).prop_map(|(zone, order)| World::new(zone, order))
}

/// The begin of the rows of a case: a change of clocks, a date that Samoa skipped, or any time.
fn any_epoch() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        Just(at("2024-03-28 20:00")),
        Just(at("2011-12-26 00:00")),
        Just(at("2024-07-01 03:00"))
    ]
}

/// Times are quarters of an hour, so that gaps of exactly two hours occur, ± a microsecond.
fn any_row(days: i64) -> impl Strategy<Value = (Stage, i64, RawVital)> {
    let length = prop_oneof![
        6 => (0..16i64).prop_map(|quarters| quarters * 15 * MINUTE_US),
        3 => (0..40i64).prop_map(|hours| hours * HOUR_US),
        1 => Just(48 * HOUR_US),
        1 => Just(48 * HOUR_US + 1),
        1 => Just(-HOUR_US),
    ];
    let zone = prop_oneof![
        12 => Just(None),
        4 => prop::sample::select(&["Asia/Kolkata", "+14:00", "-14:00", "Europe/Berlin"])
            .prop_map(Some),
        1 => Just(Some("Mars")),
    ];
    let nudge = prop_oneof![8 => Just(0), 1 => Just(1), 1 => Just(-1i64)];
    let value = prop_oneof![15 => Just(0.0), 1 => Just(f64::NAN)];
    (any_stage(), 0..days * 96, length, nudge, "[abc]", zone, value).prop_map(
        |(stage, quarter, length, nudge, source, zone, value)| {
            let row = row(&source, "2024-01-01 00:00", "2024-01-01 00:00");
            let row = RawVital { value, ..row };
            let ended_at = Timestamp(length);
            let time_zone = zone.map(SharedStr::from);
            let start = quarter * 15 * MINUTE_US + nudge;
            (stage, start, RawVital { ended_at, time_zone, ..row })
        },
    )
}

fn placed(epoch: Timestamp, (stage, start, row): (Stage, i64, RawVital)) -> (Stage, RawVital) {
    let started_at = epoch.plus(start);
    let ended_at = started_at.plus(row.ended_at.0);
    (stage, RawVital { started_at, ended_at, ..row })
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Stage, i64, RawVital),
    /// The row at this index is sent again, from this zone and with this value.
    Repeat(prop::sample::Index, Option<SharedStr>, f64),
    Update(prop::sample::Index, (Stage, i64, RawVital)),
    Delete(prop::sample::Index),
    /// The changes at these positions of the queue are processed.
    Process(Vec<prop::sample::Index>),
}

fn any_step(days: i64) -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        8 => any_row(days).prop_map(|(stage, start, row)| Step::Insert(stage, start, row)),
        1 => (index(), any_row(1))
            .prop_map(|(i, (_, _, row))| Step::Repeat(i, row.time_zone, row.value)),
        2 => (index(), any_row(days)).prop_map(|(i, row)| Step::Update(i, row)),
        3 => index().prop_map(Step::Delete),
        4 => prop::collection::vec(index(), 1..4).prop_map(Step::Process),
    ]
}

/// Few rows far apart, or enough near each other that chains are cut; some continue for weeks.
fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let bed = |source: &'static str, from: i64, days: i64| {
        let row = row(source, "2024-01-01 00:00", "2024-01-01 00:00");
        let row = RawVital { ended_at: Timestamp(DAY_US), ..row };
        (from..from + days)
            .map(move |day| Step::Insert(Stage::InBed, day * DAY_US, row.clone()))
            .collect::<Vec<_>>()
    };
    prop_oneof![
        prop::collection::vec(any_step(25), 1..40),
        prop::collection::vec(any_step(7), 1..60),
        ("[abc]", 0..6i64, 3..24i64, prop::collection::vec(any_step(25), 1..30)).prop_map(
            move |(source, from, days, steps)| {
                let source = if source == "a" { "a" } else { "c" };
                [bed(source, from, days), steps].concat()
            }
        ),
    ]
}

fn take(store: &mut Store, epoch: Timestamp, step: Step) {
    let ids = store.ids();
    match step {
        Step::Insert(stage, start, row) => {
            let (stage, row) = placed(epoch, (stage, start, row));
            store.insert(stage, row);
        }
        Step::Process(indices) if !store.queue.is_empty() => {
            let places = indices.iter().map(|index| index.index(store.queue.len()));
            store.process(&places.collect());
        }
        Step::Process(_) => {}
        _ if ids.is_empty() => {}
        Step::Repeat(index, time_zone, value) => {
            let (stage, row) = store.row(*index.get(&ids));
            store.insert(stage, RawVital { time_zone, value, ..row });
        }
        Step::Update(index, row) => {
            let (stage, row) = placed(epoch, row);
            store.update(*index.get(&ids), stage, row);
        }
        Step::Delete(index) => store.delete(*index.get(&ids)),
    }
}

fn after(world: World, epoch: Timestamp, steps: Vec<Step>) -> Store {
    let mut store = Store::new(world);
    for step in steps {
        take(&mut store, epoch, step);
    }
    store
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn stored_days_are_those_computed_from_scratch(
        world in any_world(), epoch in any_epoch(), steps in any_steps(), batch in 1..8usize,
    ) {
        let mut store = after(world, epoch, steps);
        store.process_all(batch);
        store.check();
    }

    #[test]
    fn after_a_change_of_the_profile_each_day_touched_is_as_if_it_had_always_been(
        world in any_world(), other in any_world(), epoch in any_epoch(), steps in any_steps(),
        batch in 1..8usize, backfill in any::<bool>(),
    ) {
        let mut store = after(world, epoch, steps);
        store.world = other;
        if backfill {
            store.process_all(batch);
            store.backfill();
        } else {
            store.touch_all();
            store.process_all(batch);
        }
        store.check();
    }

    #[test]
    fn neither_the_order_nor_the_ids_of_rows_leave_a_trace(
        world in any_world(),
        epoch in any_epoch(),
        rows in prop::collection::vec(any_row(6), 1..30).prop_shuffle(),
        keys in prop::collection::vec(any::<u32>(), 30),
    ) {
        let mut identities = BTreeSet::new();
        let distinct: Vec<_> = rows
            .into_iter()
            .map(|row| placed(epoch, row))
            .filter(|(stage, row)| {
                identities.insert((*stage, row.source.clone(), row.started_at, row.ended_at))
            })
            .collect();
        let mut shuffled: Vec<_> = keys.iter().zip(distinct.clone()).collect();
        shuffled.sort_by_key(|(key, _)| **key);
        let shuffled: Vec<_> = shuffled
            .into_iter()
            .map(|(key, (stage, row))| (stage, RawVital { id: i64::from(*key), ..row }))
            .collect();
        let of = |rows: &[(Stage, RawVital)]| figures(&world.context(), &super::rows(rows));
        prop_assert_eq!(format!("{:?}", of(&distinct)), format!("{:?}", of(&shuffled)));
    }

    #[test]
    fn a_days_figures_agree_with_each_other(
        world in any_world(),
        epoch in any_epoch(),
        rows in prop::collection::vec(any_row(6), 1..30),
    ) {
        let rows: Vec<_> = rows.into_iter().map(|row| placed(epoch, row)).collect();
        for (date, day) in figures(&world.context(), &super::rows(&rows)) {
            let asleep = day.asleep_minutes.unwrap_or(0.0);
            let stages = [day.core_minutes, day.deep_minutes, day.rem_minutes];
            let unspecified = day.unspecified_minutes.unwrap_or(0.0);
            let sum = stages.iter().flatten().sum::<f64>() + unspecified;
            prop_assert!((asleep - sum).abs() < 1e-9);
            prop_assert!(asleep <= day.in_bed_minutes.unwrap_or(0.0));
            prop_assert!(day.efficiency.is_none_or(|part| (0.0..=1.0).contains(&part)));
            prop_assert!(day.nap_minutes.unwrap_or(0.0) <= asleep);
            prop_assert_eq!(day.nap_count > 0, day.nap_minutes.is_some_and(|nap| nap > 0.0));
            prop_assert_eq!(day.sources.values().sum::<i32>(), day.segment_count);
            prop_assert_eq!(day.main_start.is_some(), asleep > 0.0);
            prop_assert_eq!(day.primary_source.is_some(), day.segment_count > 0);
            prop_assert!(day.segment_count + day.rejected_count > 0);
            let (Some(start), Some(end)) = (day.main_start, day.main_end) else { continue };
            let length = end.since(start);
            // The time from noon to noon may be an hour more than a day.
            prop_assert!(0 < length && length < 2 * CUT_MARGIN_US + DAY_US + HOUR_US);
            let main = asleep - day.nap_minutes.unwrap_or(0.0);
            prop_assert!(main * MINUTE_US as f64 <= length as f64 + 1.0);
            let noon = Timestamp::from_utc_clock(date.and_hms_opt(12, 0, 0).unwrap());
            prop_assert!(end.since(noon).abs() <= DAY_US / 2 + WIDEST_OFFSET_US);
        }
    }

    #[test]
    fn one_sources_time_is_that_of_a_plain_count_of_cells(
        world in any_world(),
        epoch in any_epoch(),
        rows in prop::collection::vec(any_row(6), 1..30),
    ) {
        // All cells of 15 minutes of all days; cuts lose no time.
        let mut cells: BTreeMap<i64, BTreeSet<Stage>> = BTreeMap::new();
        let mut all = Vec::new();
        for (stage, start, row) in rows {
            let start = start.div_euclid(15 * MINUTE_US);
            let length = row.ended_at.0.div_euclid(15 * MINUTE_US).clamp(0, 48 * 4);
            let row = RawVital {
                source: "a".into(), time_zone: Some("UTC".into()),
                value: 0.0, ended_at: Timestamp(length * 15 * MINUTE_US), ..row
            };
            all.push(placed(epoch, (stage, start * 15 * MINUTE_US, row)));
            let row_cells = start..start + length;
            row_cells.for_each(|cell| { cells.entry(cell).or_default().insert(stage); });
        }
        let (mut asleep, mut awake, mut deep) = (0.0, 0.0, 0.0);
        for stages in cells.values() {
            if stages.contains(&Stage::Awake) {
                awake += 15.0;
            } else if stages.iter().any(|stage| stage.is_sleep()) {
                asleep += 15.0;
                deep += if stages.contains(&Stage::Deep) { 15.0 } else { 0.0 };
            }
        }
        let days = figures(&world.context(), &super::rows(&all));
        let total = |figure: fn(&SleepDay) -> Option<f64>| {
            days.values().filter_map(figure).sum::<f64>()
        };
        prop_assert_eq!(total(|day| day.asleep_minutes), asleep);
        prop_assert_eq!(total(|day| day.awake_minutes), awake);
        prop_assert_eq!(total(|day| day.deep_minutes), deep);
    }

    #[test]
    fn nothing_makes_it_panic(
        stages in prop::collection::vec(any_stage(), 6),
        instants in prop::collection::vec(
            prop_oneof![
                any::<i64>(), Just(i64::MIN), Just(i64::MAX),
                (0..3 * DAY_US).prop_map(|later| Timestamp::MIN.0 + later),
                (0..3 * DAY_US).prop_map(|earlier| Timestamp::MAX.0 - earlier),
                Timestamp::MIN.0..Timestamp::MAX.0,
            ], 6),
        lengths in prop::collection::vec(prop_oneof![0..2 * DAY_US, any::<i64>()], 6),
        value in any::<f64>(),
        texts in (any::<String>(), any::<String>(), any::<Option<String>>()),
        zone in prop_oneof![any::<String>(), Just("UTC".to_owned()), Just("Asia/Manila".to_owned()),
            Just("America/Anchorage".to_owned())],
    ) {
        let (unit, source, comparator) = texts;
        let mut store = Store::new(World::new(&zone, &[]));
        for ((stage, start), length) in stages.iter().zip(&instants).zip(&lengths) {
            let row = RawVital {
                id: 0, value, comparator: comparator.clone().map(SharedStr::from), unit: unit.clone().into(),
                source: source.clone().into(), started_at: Timestamp(*start),
                ended_at: Timestamp(start.saturating_add(*length)),
                time_zone: (start % 2 == 0).then(|| zone.clone().into()), is_daily_total: false,
                workout_type: None,
            };
            // The change may be one that no trigger would write.
            let change = crate::vitals::Change {
                starts_at: row.started_at, ends_at: row.ended_at, ..change(*stage, &row)
            };
            let id = store.insert(*stage, row);
            store.queue.push(change);
            store.process_all(1);
            store.check();
            if id % 3 == 0 {
                store.delete(id);
            }
        }
        store.process_all(1);
        store.check();
    }
}
