//! Hours of cumulative metrics: intervals of several sources add up, and no time counts twice.
//!
//! The algorithm is the sweep line of Android Health Connect (AOSP, `PriorityRecordsAggregator`).
//! On each elementary segment exactly one of the open intervals contributes, that of the best
//! source. It contributes value × overlap / duration. A sample without length contributes its whole
//! value if it is the best one open at its instant. Intervals that begin or end at that instant are
//! open, too.
//!
//! AOSP adds up segment by segment. Here overlaps are first collected in whole microseconds for
//! each interval and hour, so the figure does not depend on where other rows cut the interval. The
//! contribution of an interval to an hour is the difference of two running totals, at the end and
//! at the beginning of the hour. So the parts of an interval that loses no time add up to its exact
//! value, as a daily total does.
//!
//! A metric that [counts whole](Metric::counts_whole) has values that no share of an hour gives, such as
//! a number of workouts. A row of it counts whole in the hour of its middle, if it is the best one
//! there. So the same workout of two devices is one, although they began at different seconds.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;

use super::hour::{HourFigures, HourKey, Members};
use crate::catalogue::Metric;
use crate::local_time::Zone;
use crate::raw::Sample;
use crate::timestamp::Timestamp;

/// The time that a sample may cover: its own, minus the days for which its source gave a total; or
/// the whole day, for such a total.
#[derive(Debug)]
struct Piece {
    sample: usize,
    start: Timestamp,
    end: Timestamp,
}

/// The contribution of an interval to an hour.
#[derive(Clone, Copy, Debug)]
struct Overlap {
    /// The first and the last instant of the contribution.
    start: Timestamp,
    end: Timestamp,
    /// The length in microseconds, without the time of better sources.
    length: i64,
}

/// Visits each hour that an interval touches, with the interval's begin and end there.
fn split(
    zone: Zone,
    start: Timestamp,
    end: Timestamp,
    mut visit: impl FnMut(HourKey, Timestamp, Timestamp),
) {
    let mut at = start;
    loop {
        let hour = zone.hour_of(at);
        let until = hour.end.min(end);
        visit(HourKey::from_hour(hour), at, until);
        if until >= end {
            break;
        }
        at = until;
    }
}

/// Computes the hours of the samples of one metric, given in fact order, and the samples of each
/// hour.
///
/// `source_order` names the sources, best first; the others follow, ordered by name. Of one source
/// the newest row is the best.
///
/// An hour is only right if all overlapping samples were given; the caller knows which hours are.
/// An hour whose samples were all displaced is returned empty: its old figures may be stored, under
/// a date that has no other figures.
pub(super) fn hours(
    samples: &[Sample<'_>],
    metric: &Metric,
    source_order: &[String],
) -> (BTreeMap<HourKey, HourFigures>, Members) {
    let mut hours: BTreeMap<HourKey, HourFigures> = BTreeMap::new();
    let mut members = Members::new();

    for (index, sample) in samples.iter().enumerate().filter(|(_, sample)| sample.censored) {
        let key = HourKey::from_hour(sample.zone.hour_of(sample.row.started_at));
        hours.entry(key).or_default().censored_count += 1;
        members.entry(key).or_default().push(index);
    }

    for (_, sample) in known(samples) {
        let (start, end) = if sample.row.is_daily_total {
            let date = sample.zone.date_of(sample.row.started_at);
            (sample.zone.day_start(date), sample.zone.day_end(date))
        } else {
            (sample.row.started_at, sample.row.ended_at)
        };
        split(sample.zone, start, end, |key, _, _| {
            hours.entry(key).or_default();
        });
    }
    let pieces = pieces(samples);
    for piece in &pieces {
        let sample = &samples[piece.sample];
        let key = HourKey::from_hour(sample.zone.hour_of(piece.start));
        members.entry(key).or_default().push(piece.sample);
        let figures = hours.entry(key).or_default();
        figures.sample_count += 1;
        figures.count_source(&sample.row.source);
    }

    for ((key, index), part) in shares(samples, metric, source_order, &pieces) {
        let figures = hours.entry(key).or_default();
        figures.total = Some(figures.total.unwrap_or(0.0) + part);
        if let Some(types) = &metric.workout_types {
            let of_type = types.of_row(samples[index].row.workout_type.as_deref());
            *figures.by_workout_type.entry(of_type.clone()).or_insert(0.0) += part;
        }
        members.entry(key).or_default().push(index);
    }
    for members in members.values_mut() {
        members.sort_unstable();
        members.dedup();
    }
    // A sample that others outrank entirely still shows that the hour was measured.
    for figures in hours.values_mut().filter(|figures| figures.sample_count > 0) {
        figures.total.get_or_insert(0.0);
    }
    (hours, members)
}

/// The part that each sample contributes to the total of each hour.
fn shares(
    samples: &[Sample<'_>],
    metric: &Metric,
    source_order: &[String],
    pieces: &[Piece],
) -> BTreeMap<(HourKey, usize), f64> {
    // The order within each hour is fact order: samples are in fact order, and the map sorts by
    // their index.
    let mut overlaps: BTreeMap<(HourKey, usize), Overlap> = BTreeMap::new();
    let mut wholes = Vec::new();
    sweep(samples, source_order, pieces, |sample, start, end| {
        if metric.counts_whole && !samples[sample].row.is_daily_total {
            let middle = middle(&samples[sample]);
            if (start..end).contains(&middle) || start == middle {
                let hour = samples[sample].zone.hour_of(middle);
                wholes.push(((HourKey::from_hour(hour), sample), samples[sample].value));
            }
            return;
        }
        split(samples[sample].zone, start, end, |key, start, end| {
            let first = Overlap { start, end: start, length: 0 };
            let overlap = overlaps.entry((key, sample)).or_insert(first);
            overlap.end = end;
            overlap.length += end.since(start);
        });
    });

    let spans: HashMap<usize, (Timestamp, Timestamp)> = pieces
        .iter()
        .map(|piece| {
            let row = samples[piece.sample].row;
            let of_row = (row.started_at, row.ended_at);
            (piece.sample, if row.is_daily_total { (piece.start, piece.end) } else { of_row })
        })
        .collect();
    let share = |((key, index), overlap): ((HourKey, usize), Overlap)| {
        let value = samples[index].value;
        let part = match spans.get(&index) {
            Some((start, end)) if start < end => {
                let duration = end.since(*start);
                let within = |length: i64| match length {
                    length if length == duration => value,
                    length => value * length as f64 / duration as f64,
                };
                if overlap.end.since(overlap.start) == overlap.length {
                    within(overlap.end.since(*start)) - within(overlap.start.since(*start))
                } else {
                    within(overlap.length)
                }
            }
            _ => value,
        };
        ((key, index), part)
    };
    overlaps.into_iter().map(share).chain(wholes).collect()
}

/// The instant in the middle of a sample.
fn middle(sample: &Sample<'_>) -> Timestamp {
    let row = sample.row;
    row.started_at.plus(row.ended_at.since(row.started_at) / 2)
}

/// The fate of a sample on one date.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fate {
    /// The part that it contributes to the date's total.
    pub(super) part: f64,
    /// Whether any of it lies on the date and is not replaced by a daily total.
    pub(super) is_there: bool,
    /// The daily total of its source that replaces it on the date.
    pub(super) replaced_by: Option<usize>,
    /// Samples that are better where this one lies on the date, at most [`MOST_BETTER`].
    pub(super) lost_to: Vec<usize>,
}

/// Better samples that are named.
const MOST_BETTER: usize = 3;

/// The fate of each sample on a date, by the same pieces, sweep and shares as the figures.
pub(super) fn fates(
    samples: &[Sample<'_>],
    metric: &Metric,
    source_order: &[String],
    date: NaiveDate,
) -> Vec<Fate> {
    let mut fates = vec![Fate::default(); samples.len()];
    let pieces = pieces(samples);
    for ((key, index), part) in shares(samples, metric, source_order, &pieces) {
        if key.date == date {
            fates[index].part += part;
        }
    }
    let is_on_date = |piece: &&Piece| samples[piece.sample].zone.date_of(piece.start) == date;
    let mut winners: Vec<(usize, Timestamp, Timestamp)> = Vec::new();
    sweep(samples, source_order, &pieces, |sample, start, end| winners.push((sample, start, end)));
    for piece in pieces.iter().filter(is_on_date) {
        let fate = &mut fates[piece.sample];
        fate.is_there = true;
        // Segments of the sweep are in the order of their starts, and disjoint.
        let first = winners.partition_point(|(_, _, end)| *end < piece.start);
        let near = winners.get(first..).unwrap_or_default();
        for (winner, start, _) in near.iter().take_while(|(_, start, _)| *start <= piece.end) {
            let is_within = *start < piece.end || piece.start == piece.end;
            let is_other = *winner != piece.sample && !fate.lost_to.contains(winner);
            if is_within && is_other && fate.lost_to.len() < MOST_BETTER {
                fate.lost_to.push(*winner);
            }
        }
    }
    let totals: BTreeMap<&str, usize> = pieces
        .iter()
        .filter(is_on_date)
        .filter(|piece| samples[piece.sample].row.is_daily_total)
        .map(|piece| (&*samples[piece.sample].row.source, piece.sample))
        .collect();
    for (index, sample) in known(samples) {
        let end =
            if sample.row.is_daily_total { sample.row.started_at } else { sample.row.ended_at };
        let dates = sample.zone.date_of(sample.row.started_at)..=sample.zone.date_of(end);
        if !fates[index].is_there && dates.contains(&date) {
            fates[index].replaced_by = totals.get(&*sample.row.source).copied();
        }
    }
    fates
}

/// Cuts the samples at local midnights and applies daily totals. If a source gave a total of a day,
/// its samples of that day are dropped, and the newest total becomes one interval over the whole
/// local day.
fn pieces(samples: &[Sample<'_>]) -> Vec<Piece> {
    let mut totals: BTreeMap<(&str, NaiveDate), usize> = BTreeMap::new();
    for (index, sample) in known(samples).filter(|(_, sample)| sample.row.is_daily_total) {
        let date = sample.zone.date_of(sample.row.started_at);
        let newest = totals.entry((&sample.row.source, date)).or_insert(index);
        if samples[*newest].row.id < sample.row.id {
            *newest = index;
        }
    }
    let mut pieces: Vec<Piece> = totals
        .iter()
        .map(|((_, date), index)| {
            let zone = samples[*index].zone;
            Piece { sample: *index, start: zone.day_start(*date), end: zone.day_end(*date) }
        })
        .collect();

    for (index, sample) in known(samples).filter(|(_, sample)| !sample.row.is_daily_total) {
        let end = sample.row.ended_at;
        let mut start = sample.row.started_at;
        loop {
            let date = sample.zone.date_of(start);
            let midnight = sample.zone.day_end(date);
            if !totals.contains_key(&(&*sample.row.source, date)) {
                pieces.push(Piece { sample: index, start, end: end.min(midnight) });
            }
            if end <= midnight {
                break;
            }
            start = midnight;
        }
    }
    pieces
}

fn known<'s, 'row>(samples: &'s [Sample<'row>]) -> impl Iterator<Item = (usize, &'s Sample<'row>)> {
    samples.iter().enumerate().filter(|(_, sample)| !sample.censored)
}

/// Calls `contribute` for each elementary segment with the sample that wins it, and once for each
/// sample without length that is the best one open at its instant. Such a sample counts whole.
fn sweep(
    samples: &[Sample<'_>],
    source_order: &[String],
    pieces: &[Piece],
    mut contribute: impl FnMut(usize, Timestamp, Timestamp),
) {
    // The lowest key is the best: the profile's order, then other sources by name, then the newest
    // row.
    let preference = |piece: &Piece| {
        let row = samples[piece.sample].row;
        match source_order.iter().position(|source| **source == *row.source) {
            Some(rank) => (rank, "", Reverse(row.id)),
            None => (usize::MAX, &*row.source, Reverse(row.id)),
        }
    };
    let mut borders: Vec<(Timestamp, bool, usize)> = Vec::with_capacity(pieces.len() * 2);
    for (index, piece) in pieces.iter().enumerate() {
        borders.push((piece.start, false, index));
        borders.push((piece.end, true, index));
    }
    // As in AOSP, starts at an instant come before ends there. So between the last start and the
    // first end, every interval that touches the instant is open.
    borders.sort_unstable();

    let mut open: BTreeSet<(_, usize)> = BTreeSet::new();
    let (mut since, mut has_just_opened) = (Timestamp::MIN, false);
    for (at, closes, index) in borders {
        if let Some((_, best)) = open.first() {
            let best = &pieces[*best];
            let is_instant = best.start == best.end;
            if at > since || (is_instant && has_just_opened && closes) {
                contribute(best.sample, since, at);
            }
        }
        (since, has_just_opened) = (at, !closes);
        let entry = (preference(&pieces[index]), index);
        if closes {
            open.remove(&entry);
        } else {
            open.insert(entry);
        }
    }
}
