//! Computes the sessions of each source, and decides which of them count.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::period::{Chain, Piece, chains, cutting_zone, noon_after};
use super::segment::Segment;
use super::{CUT_MARGIN_US, LONGEST_GAP_US, Stage};
use crate::Timestamp;
use crate::local_time::Zone;
use crate::raw::{Context, Span, union};
use crate::timestamp::HOUR_US;
use crate::zones::BaseZone;

/// The maximum length with which a recording without sleep enters comparisons. In a longer one the
/// person is ill, or the sensor always reports a person in bed: neither is one night. So a source
/// without sleep never hides a source that covers 6 hours and knows of sleep.
const LONGEST_NIGHT_IN_BED_US: i64 = 12 * HOUR_US;

/// In a shorter chain of all sources, a session loses only to a session that counts. In a longer
/// one (a sensor that always reports a person in bed) that decision could depend on sessions weeks
/// away. So there a session loses to any better rival.
const LONGEST_CONTEST_US: i64 = 2 * CUT_MARGIN_US;

/// Segments of one source without a gap of more than [`LONGEST_GAP_US`], or a piece of them, and
/// their total lengths in microseconds.
#[derive(Debug)]
pub(super) struct Session<'row> {
    pub(super) source: &'row str,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// The local date of the end, in the zone of the row that ends the session.
    pub(super) date: NaiveDate,
    /// The zones of its rows; the first is that of the row that ends it.
    pub(super) zones: Vec<Zone>,
    /// Its segments, ordered by start.
    pub(super) segments: Vec<Segment<'row>>,
    pub(super) lengths: Lengths,
    /// Whether it counts: no better session of another source covers this time.
    pub(super) counts: bool,
    /// Whether enough rows were read to know its begin and end.
    is_settled: bool,
    /// Whether enough rows were read to know whether it counts.
    pub(super) is_certain: bool,
    /// The span, both ends included, that affects the session: a changed row outside can change
    /// neither the session nor whether it counts.
    pub(super) reach: Span,
}

/// The time of a source in each state, in microseconds; `None` if the source cannot know it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Lengths {
    /// Asleep in any stage or without one. `None` for a source without sleep.
    pub(super) asleep: Option<i64>,
    /// Asleep without a known stage.
    pub(super) unspecified: Option<i64>,
    /// Light sleep. `None` for a source without stages, like `deep` and `rem`.
    pub(super) core: Option<i64>,
    pub(super) deep: Option<i64>,
    pub(super) rem: Option<i64>,
    /// Awake; `None` for a source with neither stages nor times awake.
    pub(super) awake: Option<i64>,
    /// In bed, or asleep anywhere. Without rows of the bed, the time from the first segment to the
    /// last. `None` for a source that only has times awake.
    pub(super) in_bed: Option<i64>,
    /// In any state.
    covered: i64,
}

/// All sessions, from segments ordered by start; `read` is the span of which every row is among
/// them.
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
            sessions.extend(pieces.filter_map(|piece| Session::from_piece(piece, goes_on)));
        }
        if sources.len() > 1 {
            contest(&mut sessions, &chain, read, context.source_order);
        }
        all.append(&mut sessions);
    }
    all
}

/// Decides which sessions of a chain of several sources count. If sessions of two sources overlap,
/// or are at most [`LONGEST_GAP_US`] apart, at most one counts.
fn contest(sessions: &mut [Session<'_>], chain: &Chain<'_, '_>, read: Span, order: &[String]) {
    sessions.sort_by_key(|session| (session.start, session.end, session.source));
    let rivals = Rivals::among(sessions);
    let mut longest_first: Vec<usize> = (0..sessions.len()).collect();
    longest_first.sort_by_key(|place| Reverse(sessions[*place].claimed()));
    let longest_near = |place| {
        let longest = longest_first.iter().find(|other| rivals.are(place, **other));
        longest.map_or(0, |longest| sessions[*longest].claimed())
    };
    let preferences: Vec<_> = sessions
        .iter()
        .enumerate()
        .map(|(place, session)| session.preference(longest_near(place), order))
        .collect();
    let is_long = chain.end.since(chain.start) >= LONGEST_CONTEST_US;
    let mut best_first: Vec<usize> = (0..sessions.len()).collect();
    best_first.sort_by_key(|place| &preferences[*place]);
    // Sessions that later ones may lose to.
    let mut winners: Vec<usize> = Vec::new();
    for place in best_first {
        let beats = |winner: &usize| {
            rivals.are(place, *winner) && preferences[*winner] < preferences[place]
        };
        sessions[place].counts = !winners.iter().any(beats);
        if is_long || sessions[place].counts {
            winners.push(place);
        }
    }

    // The whole chain decides, unless it is long.
    let (goes_on_before, goes_on_after) = chain.goes_on_beyond(read);
    let is_whole = !goes_on_before && !goes_on_after;
    if !is_long {
        for (place, session) in sessions.iter_mut().enumerate() {
            if rivals.against(place).next().is_some() {
                session.reach = (chain.start.plus(-LONGEST_GAP_US), chain.end.plus(LONGEST_GAP_US));
                session.is_certain = is_whole;
            }
        }
        return;
    }
    // The limit is enough to know that the chain is long. A rival is compared with its own rivals.
    let own: Vec<Known> = sessions.iter().map(|s| (s.reach, s.is_settled)).collect();
    let with_rivals: Vec<Known> = (0..own.len())
        .map(|place| together(own[place], rivals.against(place).map(|n| own[n])))
        .collect();
    let far = LONGEST_CONTEST_US + LONGEST_GAP_US;
    for (place, session) in sessions.iter_mut().enumerate() {
        let near = rivals.against(place).map(|rival| with_rivals[rival]);
        let mut near = near.peekable();
        if near.peek().is_some() {
            let reach = (session.start.plus(-far), session.end.plus(far));
            let known = (session.reach, session.is_certain);
            (session.reach, session.is_certain) = together(known, near.chain([(reach, true)]));
        }
    }
}

/// A reach, and whether enough rows were read to know its sessions.
type Known = (Span, bool);

fn together(first: Known, others: impl Iterator<Item = Known>) -> Known {
    others.fold(first, |((from, to), is_known), ((other_from, other_to), is_other_known)| {
        ((from.min(other_from), to.max(other_to)), is_known && is_other_known)
    })
}

/// Finds rivals: sessions of two sources that overlap or are near each other. Pairs are checked on
/// demand, since all sessions of a night with a thousand sources are rivals of all others.
struct Rivals<'row>(Vec<(Timestamp, Timestamp, &'row str)>);

impl<'row> Rivals<'row> {
    /// Prepares the search among sessions ordered by start.
    fn among(sessions: &[Session<'row>]) -> Self {
        Self(sessions.iter().map(|session| (session.start, session.end, session.source)).collect())
    }

    fn are(&self, one: usize, other: usize) -> bool {
        let (_, end, source) = self.0[one.min(other)];
        let (start, _, later_source) = self.0[one.max(other)];
        start.since(end) <= LONGEST_GAP_US && source != later_source
    }

    fn against(&self, one: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.0.len()).filter(move |other| self.are(one, *other))
    }
}

impl<'row> Session<'row> {
    /// Builds a session; `goes_on` says whether its chain may continue before and after the rows
    /// read.
    fn from_piece(piece: Piece<'row>, goes_on: (bool, bool)) -> Option<Self> {
        let Piece { segments, reach, .. } = piece;
        let last = ending(&segments)?;
        let (source, end) = (last.source, last.end);
        let mut zones = vec![last.zone];
        for segment in &segments {
            if !zones.contains(&segment.zone) {
                zones.push(segment.zone);
            }
        }
        let is_settled = !(piece.begins && goes_on.0 || piece.ends && goes_on.1);
        Some(Self {
            source,
            start: segments.first()?.start,
            end,
            date: last.zone.date_of(end),
            zones,
            lengths: Lengths::measure(&segments),
            segments,
            counts: true,
            is_settled,
            is_certain: is_settled,
            reach,
        })
    }

    /// The length of the night that it claims to have recorded, in microseconds.
    const fn claimed(&self) -> i64 {
        let covered = self.lengths.covered;
        if self.lengths.asleep.is_some() || covered <= LONGEST_NIGHT_IN_BED_US {
            covered
        } else {
            0
        }
    }

    /// Its rank among its rivals in the order of [`super`]; the lowest is the best. The longest
    /// night that one of them claims is `longest`.
    fn preference(&self, longest: i64, order: &[String]) -> Preference<'row> {
        let (source, lengths) = (self.source, &self.lengths);
        let (asleep, covered) = (Reverse(lengths.asleep), Reverse(lengths.covered));
        let rank = order.iter().position(|listed| listed == source).unwrap_or(usize::MAX);
        let has_stages = lengths.core.is_some();
        if lengths.asleep.is_some() && lengths.covered >= longest - lengths.covered {
            Preference::Represents(rank, !has_stages, asleep, covered, source)
        } else {
            Preference::Covers(covered, rank, !has_stages, asleep, source)
        }
    }

    /// The dates that it may have when all its rows are known. Each row read so far may end it, by
    /// its own end or by a cut at noon.
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

/// The segment that ends last; of several, the one that began last, which knows the end best, then
/// by stage. Rows cut at the same noons may be equal in all this; then it is the last of them in
/// fact order before the cut.
fn ending<'s, 'row>(segments: &'s [Segment<'row>]) -> Option<&'s Segment<'row>> {
    segments.iter().max_by_key(|segment| (segment.end, segment.start, segment.stage))
}

/// The order of sessions; see [`Session::preference`].
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Preference<'row> {
    /// A session with sleep that covers at least half of the longest recording. Ordered by the
    /// profile's order, whether it has stages, the time asleep, the time covered, the name.
    Represents(usize, bool, Reverse<Option<i64>>, Reverse<i64>, &'row str),
    /// Any other session, ordered by the time covered first.
    Covers(Reverse<i64>, usize, bool, Reverse<Option<i64>>, &'row str),
}

impl Lengths {
    fn measure(segments: &[Segment<'_>]) -> Self {
        let has = |kind: fn(Stage) -> bool| segments.iter().any(|segment| kind(segment.stage));
        let of = |wanted: Stage| spans(segments, |stage| stage == wanted);
        let both = |one: &[Span], other: &[Span]| union([one, other].concat());

        // An instant has one state: the first of these that covers it.
        let awake = of(Stage::Awake);
        let mut taken = awake.clone();
        let mut left = |stage: Stage| {
            let spans = of(stage);
            let left = without(&spans, &taken);
            taken = both(&taken, &spans);
            left
        };
        let (deep, rem, core) = (left(Stage::Deep), left(Stage::Rem), left(Stage::Core));
        let unspecified = left(Stage::Asleep);
        let asleep = union([&deep[..], &rem, &core, &unspecified].concat());

        let knows_sleep = has(Stage::is_sleep);
        let knows_stages = has(Stage::is_staged);
        let knows_awake = knows_stages || !awake.is_empty();
        let known = |knows: bool, spans: &[Span]| knows.then(|| length(spans));
        let in_bed = if has(|stage| stage == Stage::InBed) {
            // A person asleep is in bed, so that efficiency is never above 1.
            Some(both(&of(Stage::InBed), &asleep))
        } else if knows_sleep {
            let start = segments.iter().map(|segment| segment.start).min();
            let end = segments.iter().map(|segment| segment.end).max();
            Some(start.zip(end).into_iter().collect())
        } else {
            None
        };
        Self {
            asleep: known(knows_sleep, &asleep),
            unspecified: known(knows_sleep, &unspecified),
            core: known(knows_stages, &core),
            deep: known(knows_stages, &deep),
            rem: known(knows_stages, &rem),
            awake: known(knows_awake, &awake),
            in_bed: in_bed.map(|in_bed| length(&in_bed)),
            covered: length(&spans(segments, |_| true)),
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

/// The parts of `spans` outside `others`; both are in order and disjoint.
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
