//! Pairs the systolic and diastolic rows of one measurement.

use std::collections::BTreeMap;

use crate::Timestamp;
use crate::raw::Sample;
use crate::timestamp::SECOND_US;

/// The longest distance between the rows of a pair. Apps write both values of a measurement at
/// once, and a cuff takes longer than this from one measurement to the next.
pub const FARTHEST_APART_US: i64 = 5 * SECOND_US;

/// The maximum number of rounds. Each round pairs the rows that are nearest to each other.
///
/// One round is enough for a cuff. Each round pairs at least one of the rows that follow one
/// another without a pause of 5 s. So this limit is exact for up to 60 such pairs; the loop ends
/// earlier if no pair is left. More rounds matter only if distances shrink from row to row for
/// minutes, or if many rows of one source share an instant. Without a limit, the partner of a row
/// could depend on a row hours away, and no span of rows read would be wide enough.
const ROUNDS: usize = 60;

/// 10 minutes: a row's partner depends on no row that starts farther away. Each round compares rows
/// within [`FARTHEST_APART_US`], and these with theirs.
pub const REACH_US: i64 = ROUNDS as i64 * 2 * FARTHEST_APART_US;

/// Pairs systolic and diastolic samples, each list in fact order. Returns the indices of each pair
/// in the two lists, in the order of the systolic ones.
///
/// A pair has one source, and its rows start at most 5 s apart (5 s make a pair, one microsecond
/// more does not). The nearest rows are paired first, each row once. Of equally near partners, a
/// systolic row takes the later one and a diastolic row the earlier one, because devices write them
/// in this order. At one instant the first in fact order is taken, which is the lower value.
pub(super) fn pairs(systolic: &[Sample<'_>], diastolic: &[Sample<'_>]) -> Vec<(usize, usize)> {
    let mut sources: BTreeMap<&str, [Vec<Row>; 2]> = BTreeMap::new();
    for (metric, samples) in [systolic, diastolic].into_iter().enumerate() {
        for (index, sample) in samples.iter().enumerate() {
            let of_source = sources.entry(&sample.row.source).or_default();
            of_source[metric].push(Row { at: sample.row.started_at, index });
        }
    }
    let mut pairs = Vec::new();
    for [mut systolic, mut diastolic] in sources.into_values() {
        for _ in 0..ROUNDS {
            let found = mutually_nearest(&systolic, &diastolic);
            if found.is_empty() {
                break;
            }
            // Both lists are in the order of their indices, and so are the pairs by systolic row.
            systolic.retain(|row| found.binary_search_by_key(&row.index, |pair| pair.0).is_err());
            let mut taken: Vec<usize> = found.iter().map(|pair| pair.1).collect();
            taken.sort_unstable();
            diastolic.retain(|row| taken.binary_search(&row.index).is_err());
            pairs.extend(found);
        }
    }
    pairs.sort_unstable();
    pairs
}

/// A row of one source that has no partner yet.
#[derive(Clone, Copy, Debug)]
struct Row {
    at: Timestamp,
    /// Its index in fact order.
    index: usize,
}

/// The preferred one of two equally near rows.
#[derive(Clone, Copy, PartialEq)]
enum Prefer {
    Earlier,
    Later,
}

fn mutually_nearest(systolic: &[Row], diastolic: &[Row]) -> Vec<(usize, usize)> {
    let pair = |s: &Row| {
        let d = nearest(s.at, diastolic, Prefer::Later)?;
        let back = nearest(d.at, systolic, Prefer::Earlier)?;
        (back.index == s.index).then_some((s.index, d.index))
    };
    systolic.iter().filter_map(pair).collect()
}

/// The row nearest to `at` within the limit; of several at one instant, the first.
fn nearest(at: Timestamp, rows: &[Row], prefer: Prefer) -> Option<Row> {
    let first_since = |instant| rows.partition_point(|row| row.at < instant);
    let next = first_since(at);
    let later = rows.get(next).copied();
    let earlier = next
        .checked_sub(1)
        .and_then(|last| rows.get(last))
        .and_then(|row| rows.get(first_since(row.at)))
        .copied();
    let distance = |row: &Row| row.at.0.abs_diff(at.0);
    let nearest = match (earlier, later) {
        (Some(earlier), Some(later)) => match distance(&earlier).cmp(&distance(&later)) {
            std::cmp::Ordering::Less => earlier,
            std::cmp::Ordering::Greater => later,
            std::cmp::Ordering::Equal if prefer == Prefer::Earlier => earlier,
            std::cmp::Ordering::Equal => later,
        },
        (earlier, later) => earlier.or(later)?,
    };
    (distance(&nearest) <= FARTHEST_APART_US.unsigned_abs()).then_some(nearest)
}
