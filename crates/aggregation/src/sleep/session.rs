//! Sessions: the best source of a period, and what it says.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::Stage;
use super::period::{Chain, Period, chains};
use super::segment::Segment;
use crate::Timestamp;
use crate::local_time::Zone;
use crate::vitals::scope::{Span, union};

/// Segments of one source without a gap of more than [`LONGEST_GAP_US`](super::LONGEST_GAP_US), and
/// what they come to. Lengths are in microseconds.
#[derive(Debug)]
pub(super) struct Session<'row> {
    pub(super) source: &'row str,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// The local date of the end, in the zone of the row that ends the session.
    pub(super) date: NaiveDate,
    /// The zones of its rows, that of the row that ends it first.
    pub(super) zones: Vec<Zone>,
    /// How many segments it has.
    pub(super) segments: usize,
    pub(super) lengths: Lengths,
    /// As that of its period.
    pub(super) reach: Span,
}

/// How long a source was in each state; `None` where it cannot know.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Lengths {
    /// Asleep in any stage or in none that is known. Unknown to a source that only knows the bed.
    pub(super) asleep: Option<i64>,
    /// Asleep without a stage.
    pub(super) unspecified: Option<i64>,
    /// Unknown to a source that tells no stage apart, as are `deep` and `rem`.
    pub(super) core: Option<i64>,
    pub(super) deep: Option<i64>,
    pub(super) rem: Option<i64>,
    /// Awake; unknown to a source that tells neither stages nor when its owner was awake.
    pub(super) awake: Option<i64>,
    /// In bed, or asleep anywhere; without rows of the bed from the first segment to the last.
    pub(super) in_bed: i64,
}

/// The sessions of a period.
pub(super) fn sessions<'row>(period: &Period<'row>, order: &[String]) -> Vec<Session<'row>> {
    let mut sources: BTreeMap<&str, Vec<Segment<'row>>> = BTreeMap::new();
    for segment in &period.segments {
        sources.entry(segment.source).or_default().push(*segment);
    }
    let best = match sources.len() {
        // Nothing to be compared, as nearly always.
        1 => sources.pop_first(),
        _ => {
            sources.into_iter().min_by_key(|(source, segments)| preference(source, segments, order))
        }
    };
    let Some((source, segments)) = best else { return Vec::new() };
    let of_chain = |chain: Chain<'_, 'row>| {
        let last = ending(chain.segments)?;
        let mut zones = vec![last.zone];
        for segment in chain.segments {
            if !zones.contains(&segment.zone) {
                zones.push(segment.zone);
            }
        }
        Some(Session {
            source,
            start: chain.start,
            end: chain.end,
            date: last.zone.date_of(chain.end),
            zones,
            segments: chain.segments.len(),
            lengths: Lengths::of(chain.segments),
            reach: period.reach,
        })
    };
    chains(&segments).into_iter().filter_map(of_chain).collect()
}

/// The segment that ends last; of several the one that began last, which knows most of the end,
/// then by stage. Rows cut at the same noons may be alike in all this: the last of them, in the
/// order of their facts before the cut.
fn ending<'s, 'row>(segments: &'s [Segment<'row>]) -> Option<&'s Segment<'row>> {
    segments.iter().max_by_key(|segment| (segment.end, segment.start, segment.stage))
}

/// The least is the best, in the order that [`super`] gives; of equals the first by name, which is
/// how they come.
fn preference(source: &str, segments: &[Segment<'_>], order: &[String]) -> impl Ord + use<> {
    let has = |kind: fn(Stage) -> bool| segments.iter().any(|segment| kind(segment.stage));
    let rank = order.iter().position(|listed| listed == source).unwrap_or(usize::MAX);
    let covered = length(&spans(segments, |_| true));
    let asleep = Lengths::of(segments).asleep;
    (!has(Stage::is_sleep), rank, !has(Stage::is_staged), Reverse(asleep), Reverse(covered))
}

impl Lengths {
    fn of(segments: &[Segment<'_>]) -> Self {
        let has = |kind: fn(Stage) -> bool| segments.iter().any(|segment| kind(segment.stage));
        let of = |stage: Stage| spans(segments, |other| other == stage);

        let staged = spans(segments, Stage::is_staged);
        let awake = without(&of(Stage::Awake), &staged);
        let unspecified = without(&without(&of(Stage::Asleep), &awake), &staged);

        let knows_stages = has(Stage::is_staged);
        let knows_awake = knows_stages || has(|stage| stage == Stage::Awake);
        let knows_sleep = knows_awake || has(Stage::is_sleep);
        let known = |knows: bool, spans: &[Span]| knows.then(|| length(spans));
        let in_bed = if has(|stage| stage == Stage::InBed) {
            // Who sleeps is in bed, so that efficiency is never above 1.
            union([of(Stage::InBed), staged.clone(), unspecified.clone()].concat())
        } else {
            let start = segments.iter().map(|segment| segment.start).min();
            let end = segments.iter().map(|segment| segment.end).max();
            start.zip(end).into_iter().collect()
        };
        Self {
            asleep: knows_sleep.then(|| length(&staged) + length(&unspecified)),
            unspecified: known(knows_sleep, &unspecified),
            core: known(knows_stages, &of(Stage::Core)),
            deep: known(knows_stages, &of(Stage::Deep)),
            rem: known(knows_stages, &of(Stage::Rem)),
            awake: known(knows_awake, &awake),
            in_bed: length(&in_bed),
        }
    }
}

/// The union of the segments whose stage is wanted.
fn spans(segments: &[Segment<'_>], wanted: impl Fn(Stage) -> bool) -> Vec<Span> {
    let wanted = segments.iter().filter(|segment| wanted(segment.stage));
    union(wanted.map(|segment| (segment.start, segment.end)).collect())
}

fn length(disjoint: &[Span]) -> i64 {
    disjoint.iter().map(|(from, to)| to.since(*from)).sum()
}

/// What of `spans` lies in none of `others`; both are in order and disjoint.
fn without(spans: &[Span], others: &[Span]) -> Vec<Span> {
    let mut left = Vec::new();
    for (start, end) in spans {
        let mut from = *start;
        let first = others.partition_point(|(_, until)| until <= start);
        for (other, until) in others[first..].iter().take_while(|(other, _)| other < end) {
            if from < *other {
                left.push((from, *other));
            }
            from = from.max(*until);
        }
        if from < *end {
            left.push((from, *end));
        }
    }
    left
}
