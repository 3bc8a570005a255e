//! Cuts a source's chain of segments.
//!
//! In a chain, each segment is at most [`LONGEST_GAP_US`] after those before it. The chain is cut
//! at each noon of the base zone from which it continues for at least [`CUT_MARGIN_US`] to both
//! sides, regardless of its rows' own zones. So the rows within that margin decide whether it is
//! cut at a noon, and no row decides where noon is. Cuts counted from the chain's beginning would
//! require reading back to that beginning.

use super::segment::Segment;
use super::{CUT_MARGIN_US, LONGEST_GAP_US};
use crate::Timestamp;
use crate::local_time::Zone;
use crate::raw::Span;
use crate::timestamp::DAY_US;
use crate::zones::BaseZone;

/// Segments without a longer gap than [`LONGEST_GAP_US`], ordered by start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain<'s, 'row> {
    pub(super) segments: &'s [Segment<'row>],
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

/// The chains of segments that are ordered by start.
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

/// A chain of one source, or the part of it between two cuts.
#[derive(Debug)]
pub(super) struct Piece<'row> {
    /// Its segments, ordered by start; those across a cut end or begin there.
    pub(super) segments: Vec<Segment<'row>>,
    /// Whether it begins at the beginning of the chain, not at a cut.
    pub(super) begins: bool,
    /// Whether it ends at the end of the chain, not at a cut.
    pub(super) ends: bool,
    /// The span, both ends included, that affects the piece: a changed row outside cannot change
    /// it.
    pub(super) reach: Span,
}

impl<'row> Chain<'_, 'row> {
    /// Whether the piece may continue before and after the span of which every row was read. Other
    /// rows end before the span, or start at its end at the earliest.
    pub(super) fn goes_on_beyond(&self, (from, to): Span) -> (bool, bool) {
        (self.start.since(from) < LONGEST_GAP_US, to.since(self.end) <= LONGEST_GAP_US)
    }

    /// The whole chain, or its pieces if it is too long.
    pub(super) fn pieces(&self, base: &BaseZone) -> Vec<Piece<'row>> {
        let cuts = self.cuts(cutting_zone(base));
        let mut pieces = vec![Vec::new(); cuts.len() + 1];
        for segment in self.segments {
            let mut start = segment.start;
            let mut place = cuts.partition_point(|cut| *cut <= start);
            while start < segment.end {
                let end = cuts.get(place).map_or(segment.end, |cut| segment.end.min(*cut));
                pieces[place].push(Segment { start, end, ..*segment });
                (start, place) = (end, place + 1);
            }
        }
        // A noon that is no cut is in the first or the last piece, whose chain ends near it. A cut
        // remains one as long as the chain continues for its margin.
        let pieces = pieces.into_iter().enumerate().map(|(place, segments)| {
            let before = place.checked_sub(1).and_then(|place| cuts.get(place));
            let after = cuts.get(place);
            let from = before.map_or(self.start, |cut| cut.plus(-CUT_MARGIN_US));
            let to = after.map_or(self.end, |cut| cut.plus(CUT_MARGIN_US));
            Piece {
                segments,
                begins: before.is_none(),
                ends: after.is_none(),
                reach: (from.plus(-LONGEST_GAP_US), to.plus(LONGEST_GAP_US)),
            }
        });
        pieces.filter(|piece| !piece.segments.is_empty()).collect()
    }

    fn cuts(&self, zone: Zone) -> Vec<Timestamp> {
        let mut cuts = Vec::new();
        if self.end.since(self.start) >= 2 * CUT_MARGIN_US {
            let mut noon = noon_after(zone, self.start.plus(CUT_MARGIN_US - 1));
            while self.end.since(noon) >= CUT_MARGIN_US {
                cuts.push(noon);
                noon = noon_after(zone, noon);
            }
        }
        cuts
    }
}

/// The zone whose noons cut; UTC if the base zone is unknown.
pub(super) fn cutting_zone(base: &BaseZone) -> Zone {
    base.as_ref().copied().unwrap_or(Zone::Named(chrono_tz::UTC))
}

/// The first noon after `instant`. It is twelve hours before the end of a local day, so it is noon
/// on the clock unless clocks change between noon and midnight.
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
