//! Sessions: what each source says, and which of them counts.

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

/// The longest recording of a source without sleep that other sources are measured by. In a longer one
/// the person is ill, or the sensor never lets go of the bed: neither is one night. So a source that
/// covers 6 hours and knows of sleep is never hidden by one that does not.
const LONGEST_NIGHT_IN_BED_US: i64 = 12 * HOUR_US;

/// In a chain of all sources that is shorter, a session loses only to one that counts. In a longer
/// one, a bed that is never left perhaps, whether one counts could depend on sessions weeks away; so
/// there a session loses to any better one that it meets.
const LONGEST_CONTEST_US: i64 = 2 * CUT_MARGIN_US;

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
    /// Whether it counts: no better session of another source says something of this time.
    pub(super) counts: bool,
    /// Whether enough was read to know where it begins and ends.
    is_settled: bool,
    /// Whether enough was read to know whether it counts.
    pub(super) is_certain: bool,
    /// A row that comes, changes or goes outside of this span, both ends in, can change neither the
    /// session nor whether it counts.
    pub(super) reach: Span,
}

/// How long a source was in each state; `None` where it cannot know.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Lengths {
    /// Asleep in any stage or in none that is known. Unknown to a source that tells of no sleep.
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
    /// Unknown to a source that only tells when its owner was awake.
    pub(super) in_bed: Option<i64>,
    /// In any state.
    covered: i64,
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
            sessions.extend(pieces.filter_map(|piece| Session::from_piece(piece, goes_on)));
        }
        if sources.len() > 1 {
            contest(&mut sessions, &chain, read, context.source_order);
        }
        all.append(&mut sessions);
    }
    all
}

/// Decides which sessions of a chain of several sources count. Of sessions of two sources that
/// overlap, or are no farther apart than [`LONGEST_GAP_US`], one counts at most.
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
    // Those that a later one may lose to.
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

    // What decides: the whole chain, unless it is long.
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
    // That the chain is long shows within its limit. A rival is measured by its own rivals.
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

/// A reach, and whether enough was read to know what lies in it.
type Known = (Span, bool);

fn together(first: Known, others: impl Iterator<Item = Known>) -> Known {
    others.fold(first, |((from, to), is_known), ((other_from, other_to), is_other_known)| {
        ((from.min(other_from), to.max(other_to)), is_known && is_other_known)
    })
}

/// Which sessions are rivals: those of two sources that overlap or are near each other. They are asked for in
/// pairs, as all of a night with a thousand sources are rivals of all others.
struct Rivals<'row>(Vec<(Timestamp, Timestamp, &'row str)>);

impl<'row> Rivals<'row> {
    /// Among sessions in the order of their starts.
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
    /// `goes_on` is whether more of its chain may lie before and after what was read.
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

    /// The length of the night that it claims to have recorded.
    const fn claimed(&self) -> i64 {
        let covered = self.lengths.covered;
        if self.lengths.asleep.is_some() || covered <= LONGEST_NIGHT_IN_BED_US {
            covered
        } else {
            0
        }
    }

    /// Its place among its rivals in the order that [`super`] gives; the least is the best. The
    /// longest of them claims a night of `longest`.
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

/// How sessions compare; see [`Session::preference`].
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Preference<'row> {
    /// Knows of sleep, and covers at least half of the longest recording: the profile's order, whether
    /// it tells stages, the time asleep, the time covered, the name.
    Represents(usize, bool, Reverse<Option<i64>>, Reverse<i64>, &'row str),
    /// Another one: the time covered first.
    Covers(Reverse<i64>, usize, bool, Reverse<Option<i64>>, &'row str),
}

impl Lengths {
    fn measure(segments: &[Segment<'_>]) -> Self {
        let has = |kind: fn(Stage) -> bool| segments.iter().any(|segment| kind(segment.stage));
        let of = |wanted: Stage| spans(segments, |stage| stage == wanted);
        let both = |one: &[Span], other: &[Span]| union([one, other].concat());

        // An instant has one state: that of the first of these that covers it.
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
            // Who sleeps is in bed, so that efficiency is never above 1.
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
