//! Sessions: what each source says, and which of them counts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::period::{Piece, chains, cutting_zone, noon_after};
use super::segment::Segment;
use super::{LONGEST_GAP_US, Stage};
use crate::Timestamp;
use crate::local_time::Zone;
use crate::vitals::Context;
use crate::vitals::scope::{Span, union};
use crate::zones::BaseZone;

/// Segments of one source without a gap of more than [`LONGEST_GAP_US`], or a piece of them, and what
/// they come to. Lengths are in microseconds.
#[derive(Debug)]
pub(super) struct Session<'row> {
    pub(super) source: &'row str,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// The local date of the end, in the zone of the row that ends the session.
    pub(super) date: NaiveDate,
    /// The zones of its rows, that of the row that ends it first.
    pub(super) zones: Vec<Zone>,
    /// In the order of their starts.
    pub(super) segments: Vec<Segment<'row>>,
    pub(super) lengths: Lengths,
    /// The least is the best.
    preference: Preference<'row>,
    /// Whether no better session of another source has something to say of this time.
    pub(super) stands: bool,
    /// Whether enough was read to know where it begins and ends.
    is_settled: bool,
    /// Whether that is so of its rivals, too.
    pub(super) is_certain: bool,
    /// A row that comes, changes or goes outside of this span, both ends in, can change neither the
    /// session nor whether it stands.
    pub(super) reach: Span,
}

/// In the order that [`super`] gives: whether it knows of sleep, the profile's order, whether it tells
/// stages, the time asleep, the time covered, the name.
type Preference<'row> = (bool, usize, bool, Reverse<Option<i64>>, Reverse<i64>, &'row str);

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

/// All sessions, from segments in the order of their starts; `read` are the instants of which every
/// row is among them.
pub(super) fn sessions<'row>(
    context: &Context<'_>,
    segments: &[Segment<'row>],
    read: Span,
) -> Vec<Session<'row>> {
    let mut all = Vec::new();
    for chain in chains(segments) {
        let mut sources: BTreeMap<&str, Vec<Segment<'row>>> = BTreeMap::new();
        for segment in chain.segments {
            sources.entry(segment.source).or_default().push(*segment);
        }
        let mut sessions = Vec::new();
        for of_source in sources.values().flat_map(|segments| chains(segments)) {
            let goes_on = of_source.goes_on_beyond(read);
            let pieces = of_source.pieces(context.base_zone).into_iter();
            sessions.extend(pieces.filter_map(|piece| Session::of(piece, goes_on, context)));
        }
        if sources.len() > 1 {
            contest(&mut sessions);
        }
        all.append(&mut sessions);
    }
    all
}

/// Of sessions of two sources that overlap, or are no farther apart than [`LONGEST_GAP_US`], only
/// the better one can stand. Whether it does is no matter: that may be decided by a third one, and
/// so on for weeks.
fn contest(sessions: &mut [Session<'_>]) {
    sessions.sort_by_key(|session| (session.start, session.end, session.source));
    let rivals: Vec<(usize, usize)> = (0..sessions.len())
        .flat_map(|one| {
            let (source, end) = (sessions[one].source, sessions[one].end);
            let near = move |session: &&Session<'_>| session.start.since(end) <= LONGEST_GAP_US;
            let later = sessions[one + 1..].iter().take_while(near).zip(one + 1..);
            later
                .filter(move |(other, _)| other.source != source)
                .map(move |(_, other)| (one, other))
        })
        .collect();
    let own: Vec<(Span, bool)> = sessions.iter().map(|s| (s.reach, s.is_settled)).collect();
    for (one, other) in rivals {
        let is_better = sessions[one].preference < sessions[other].preference;
        let loser = if is_better { other } else { one };
        sessions[loser].stands = false;
        for (session, rival) in [(one, other), (other, one)] {
            let ((from, to), is_settled) = own[rival];
            let session = &mut sessions[session];
            session.reach = (session.reach.0.min(from), session.reach.1.max(to));
            session.is_certain &= is_settled;
        }
    }
}

impl<'row> Session<'row> {
    /// `goes_on` is whether more of its chain may lie before and after what was read.
    fn of(piece: Piece<'row>, goes_on: (bool, bool), context: &Context<'_>) -> Option<Self> {
        let Piece { segments, reach, .. } = piece;
        let last = ending(&segments)?;
        let (source, end) = (last.source, last.end);
        let mut zones = vec![last.zone];
        for segment in &segments {
            if !zones.contains(&segment.zone) {
                zones.push(segment.zone);
            }
        }
        let lengths = Lengths::of(&segments);
        let is_settled = !(piece.begins && goes_on.0 || piece.ends && goes_on.1);
        Some(Self {
            source,
            start: segments.first()?.start,
            end,
            date: last.zone.date_of(end),
            zones,
            preference: preference(source, &segments, lengths.asleep, context.source_order),
            segments,
            lengths,
            stands: true,
            is_settled,
            is_certain: is_settled,
            reach,
        })
    }

    /// The dates that it may have when all of it is known, as far as its rows have been read: one of
    /// them may end it, itself or cut at a noon.
    pub(super) fn possible_dates(&self, base: &BaseZone) -> BTreeSet<NaiveDate> {
        if self.is_settled {
            return BTreeSet::from([self.date]);
        }
        let mut dates = BTreeSet::new();
        for segment in &self.segments {
            let mut end = segment.start;
            while end < segment.end {
                end = noon_after(cutting_zone(base), end).min(segment.end);
                dates.insert(segment.zone.date_of(end));
            }
        }
        dates
    }
}

/// The segment that ends last; of several the one that began last, which knows most of the end,
/// then by stage. Rows cut at the same noons may be alike in all this: the last of them, in the
/// order of their facts before the cut.
fn ending<'s, 'row>(segments: &'s [Segment<'row>]) -> Option<&'s Segment<'row>> {
    segments.iter().max_by_key(|segment| (segment.end, segment.start, segment.stage))
}

fn preference<'row>(
    source: &'row str,
    segments: &[Segment<'_>],
    asleep: Option<i64>,
    order: &[String],
) -> Preference<'row> {
    let has = |kind: fn(Stage) -> bool| segments.iter().any(|segment| kind(segment.stage));
    let rank = order.iter().position(|listed| listed == source).unwrap_or(usize::MAX);
    let covered = length(&spans(segments, |_| true));
    (!has(Stage::is_sleep), rank, !has(Stage::is_staged), Reverse(asleep), Reverse(covered), source)
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
