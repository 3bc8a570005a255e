//! Periods: the time in which sources are compared with each other.
//!
//! A chain of segments, each at most [`LONGEST_GAP_US`] after those before it, is a period, unless
//! it is longer than [`LONGEST_PERIOD_US`]: then it is cut at each noon of the base zone, whatever
//! its rows' own zones are. Whether a chain is too long can be seen from anywhere in it by looking
//! as far as [`LONGEST_PERIOD_US`] to both sides, and where noon is depends on no row at all. A cut
//! that is counted from the chain's beginning would have to be looked for as far back as the chain
//! goes.

use std::collections::BTreeMap;

use super::segment::Segment;
use super::{LONGEST_GAP_US, LONGEST_PERIOD_US};
use crate::Timestamp;
use crate::local_time::Zone;
use crate::timestamp::DAY_US;
use crate::vitals::scope::Span;
use crate::zones::BaseZone;

/// Segments without a longer gap than [`LONGEST_GAP_US`], in the order of their starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain<'s, 'row> {
    pub(super) segments: &'s [Segment<'row>],
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

/// The chains of segments that come in the order of their starts.
pub(super) fn chains<'s, 'row>(segments: &'s [Segment<'row>]) -> Vec<Chain<'s, 'row>> {
    let mut chains = Vec::new();
    let mut rest = segments;
    while let Some(first) = rest.first() {
        let mut end = first.end;
        let mut length = 0;
        for segment in rest {
            if segment.start.since(end) > LONGEST_GAP_US {
                break;
            }
            end = end.max(segment.end);
            length += 1;
        }
        let (segments, after) = rest.split_at(length);
        chains.push(Chain { segments, start: first.start, end });
        rest = after;
    }
    chains
}

/// A chain, or what lies of it between two cuts.
#[derive(Debug)]
pub(super) struct Period<'row> {
    /// In the order of their starts; those over a cut end or begin there.
    pub(super) segments: Vec<Segment<'row>>,
    /// A row that comes, changes or goes outside of this span, both ends in, cannot change the
    /// period.
    pub(super) reach: Span,
}

impl<'row> Chain<'_, 'row> {
    /// The chain as it is, or in pieces if it is too long.
    pub(super) fn periods(&self, base: &BaseZone) -> Vec<Period<'row>> {
        let reach = |(from, to): Span, far: i64| (from.plus(-far), to.plus(far));
        if self.end.since(self.start) <= LONGEST_PERIOD_US {
            let reach = reach((self.start, self.end), LONGEST_GAP_US);
            return vec![Period { segments: self.segments.to_vec(), reach }];
        }
        let zone = cutting_zone(base);
        let mut pieces: BTreeMap<Timestamp, Vec<Segment<'row>>> = BTreeMap::new();
        for segment in self.segments {
            let mut start = segment.start;
            while start < segment.end {
                let noon = noon_after(zone, start);
                let piece = Segment { start, end: segment.end.min(noon), ..*segment };
                pieces.entry(noon).or_default().push(piece);
                start = noon;
            }
        }
        let pieces = pieces.into_values().map(|segments| {
            let start = segments.iter().map(|segment| segment.start).min();
            let end = segments.iter().map(|segment| segment.end).max();
            let span = (start.unwrap_or(self.start), end.unwrap_or(self.end));
            // Cut because the chain is too long, which a row at the chain's far end may change, but
            // then that end is near.
            Period { segments, reach: reach(span, LONGEST_PERIOD_US + LONGEST_GAP_US) }
        });
        pieces.collect()
    }
}

/// The zone whose noons cut; without a known base zone there still must be one.
pub(super) fn cutting_zone(base: &BaseZone) -> Zone {
    base.as_ref().copied().unwrap_or(Zone::Named(chrono_tz::UTC))
}

/// The first noon after `instant`: twelve hours before a local day ends, which is when clocks
/// show noon unless they change between noon and midnight.
pub(super) fn noon_after(zone: Zone, instant: Timestamp) -> Timestamp {
    let mut date = zone.date_of(instant);
    loop {
        let noon = zone.day_end(date).plus(-DAY_US / 2);
        match date.succ_opt() {
            _ if noon > instant => return noon,
            Some(next) => date = next,
            None => return Timestamp(i64::MAX),
        }
    }
}
