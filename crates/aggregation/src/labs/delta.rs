//! The difference between the last result of a day and that of the day before.
//!
//! The day before is the latest earlier date with a row of the same analyte and unit, days or years
//! away: results are not taken daily. Only its last result is compared, and only if both are
//! numbers without a comparator. No difference follows from `<5` or from a text. A difference to a
//! result further back would look like one to the day before.

use std::collections::HashMap;

use chrono::NaiveDate;

use super::{Delta, LabDay};

/// The stored rows of one analyte and unit that are nearest to a date.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    /// See [`LabDay::analyte`].
    pub analyte: String,
    /// See [`LabDay::unit`].
    pub unit: String,
    /// The last value of the nearest earlier row, if it is a number without a comparator.
    pub previous: Option<f64>,
    /// The nearest later row.
    pub next: Option<NextDay>,
}

/// A stored row after the date, whose delta is to that date or to one before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NextDay {
    /// Its local date.
    pub date: NaiveDate,
    /// Its last value, if that is a number without a comparator.
    pub last: Option<f64>,
}

/// The new delta of a stored row.
#[derive(Clone, Debug, PartialEq)]
pub struct NextDelta {
    /// The row's local date.
    pub date: NaiveDate,
    /// See [`LabDay::analyte`].
    pub analyte: String,
    /// See [`LabDay::unit`].
    pub unit: String,
    /// The recomputed delta.
    pub delta: Delta,
}

/// Sets the deltas of a date's rows, and returns the new deltas of the rows that come next. If the
/// date has lost its row, the next row is compared with the one before the date.
///
/// `neighbours` are those of every analyte and unit that the date has or had. A row further away
/// keeps its delta, since its predecessor does not change.
pub fn compare(days: &mut [LabDay], neighbours: &[Neighbours]) -> Vec<NextDelta> {
    let mut following = Vec::new();
    let mut deltas = vec![Delta::default(); days.len()];
    let places: HashMap<_, usize> =
        days.iter().map(|day| (&*day.analyte, &*day.unit)).zip(0..).collect();
    for around in neighbours {
        let place = places.get(&(&*around.analyte, &*around.unit)).copied();
        let own = place.and_then(|place| {
            let (day, delta) = (days.get(place)?, deltas.get_mut(place)?);
            *delta = Delta::between(day.last_exact(), around.previous);
            Some(day.last_exact())
        });
        if let Some(next) = around.next {
            following.push(NextDelta {
                date: next.date,
                analyte: around.analyte.clone(),
                unit: around.unit.clone(),
                delta: Delta::between(next.last, own.unwrap_or(around.previous)),
            });
        }
    }
    for (day, delta) in days.iter_mut().zip(deltas) {
        day.delta = delta;
    }
    following
}

impl LabDay {
    /// The last value, if it is a number without a comparator.
    fn last_exact(&self) -> Option<f64> {
        self.last_value.filter(|_| self.last_comparator.is_none())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::tests::{date, figures, lab, zone};
    use super::*;

    #[test]
    fn a_delta_is_the_difference_and_its_share_of_the_previous_value() {
        let delta = |last: f64, previous: f64| {
            let delta = Delta::between(Some(last), Some(previous));
            (delta.value, delta.percent)
        };
        assert_eq!(delta(6.0, 5.0), (Some(1.0), Some(20.0)));
        assert_eq!(delta(5.0, 5.0), (Some(0.0), Some(0.0)));
        assert_eq!(delta(4.0, 5.0), (Some(-1.0), Some(-20.0)));
        assert_eq!(delta(-1.0, -2.0), (Some(1.0), Some(50.0)));
        assert_eq!(delta(3.0, 0.0), (Some(3.0), None));
        assert_eq!(delta(0.0, 0.0), (Some(0.0), None));
        assert_eq!(delta(0.0, 4.0), (Some(-4.0), Some(-100.0)));
    }

    #[test]
    fn a_delta_beyond_doubles_is_unknown_and_zero_has_no_sign() {
        let huge = Delta::between(Some(1.7e308), Some(-1.7e308));
        assert_eq!(huge, Delta::default());
        let steep = Delta::between(Some(1e300), Some(1e-300));
        assert_eq!((steep.value, steep.percent), (Some(1e300), None));
        let faint = Delta::between(Some(1e300 - 1e285), Some(1e300));
        assert!(faint.percent.is_some_and(|percent| percent < 0.0));
        let none = Delta::between(Some(5.0), Some(5.0)).value;
        assert_eq!(none.map(f64::to_bits), Some(0));
    }

    #[test]
    fn bounds_and_texts_have_no_delta_and_give_none() {
        assert_eq!(Delta::between(None, Some(5.0)), Delta::default());
        assert_eq!(Delta::between(Some(5.0), None), Delta::default());
        for value in ["<5", "positive"] {
            let mut days =
                figures(&[lab("2024-03-05 08:00", value)], date("2024-03-05"), &zone("UTC"));
            let next = NextDay { date: date("2024-04-01"), last: Some(7.0) };
            let around = Neighbours {
                analyte: "4548-4".to_owned(),
                unit: "%".to_owned(),
                previous: Some(4.0),
                next: Some(next),
            };
            let following = compare(&mut days, &[around]);
            assert_eq!(days[0].delta, Delta::default());
            assert_eq!(following[0].delta, Delta::default(), "{value}");
        }
    }

    #[test]
    fn a_date_without_its_row_leaves_its_neighbours_to_each_other() {
        let around = Neighbours {
            analyte: "4548-4".to_owned(),
            unit: "%".to_owned(),
            previous: Some(4.0),
            next: Some(NextDay { date: date("2031-01-01"), last: Some(7.0) }),
        };
        let following = compare(&mut [], &[around]);
        assert_eq!(following[0].date, date("2031-01-01"));
        assert_eq!(following[0].delta.value, Some(3.0));
    }

    /// The stored rows of one analyte: date, last value as reported, delta.
    type Stored = BTreeMap<NaiveDate, (LabDay, Delta)>;

    /// Recomputes a date as the worker does with its tables.
    fn recompute(stored: &mut Stored, date: NaiveDate, value: Option<&str>) {
        let row = value.map(|value| lab(&format!("{date} 08:00"), value));
        let mut days = figures(row.as_slice(), date, &zone("UTC"));
        let had = stored.remove(&date).is_some();
        let neighbours = Neighbours {
            analyte: "4548-4".to_owned(),
            unit: "%".to_owned(),
            previous: stored.range(..date).next_back().and_then(|(_, (day, _))| day.last_exact()),
            next: stored
                .range(date..)
                .next()
                .map(|(date, (day, _))| NextDay { date: *date, last: day.last_exact() }),
        };
        let touched = had || !days.is_empty();
        let following =
            compare(&mut days, if touched { std::slice::from_ref(&neighbours) } else { &[] });
        for day in days {
            stored.insert(date, (day.clone(), day.delta));
        }
        for next in following {
            stored.get_mut(&next.date).unwrap().1 = next.delta;
        }
    }

    proptest! {
        #[test]
        fn deltas_after_any_history_are_those_from_scratch(
            edits in prop::collection::vec(
                (
                    prop::sample::select(vec!["0001-01-02", "2019-02-28", "2024-03-05", "2024-03-06", "9998-01-01"]),
                    prop::option::of(prop::sample::select(vec!["0.1", "0.3", "7", "0", "<5", "positive"])),
                ),
                0..20,
            ),
        ) {
            let mut lived = Stored::new();
            let mut last_state = BTreeMap::new();
            for (day, value) in edits {
                recompute(&mut lived, date(day), value);
                last_state.insert(date(day), value);
            }
            let mut scratch = Stored::new();
            for (day, value) in last_state {
                recompute(&mut scratch, day, value);
            }
            let deltas = |stored: &Stored| -> Vec<String> {
                stored.iter().map(|(date, (_, delta))| format!("{date} {delta:?}")).collect()
            };
            prop_assert_eq!(deltas(&lived), deltas(&scratch));
            // Each delta is the one to its predecessor.
            let days: Vec<_> = scratch.values().collect();
            for pair in days.windows(2) {
                prop_assert_eq!(
                    pair[1].1,
                    Delta::between(pair[1].0.last_exact(), pair[0].0.last_exact())
                );
            }
        }
    }
}
