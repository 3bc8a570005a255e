//! Computes the days of sleep to be written from raw rows.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::day::{Parts, SleepDay, parts};
use super::scope::SleepScope;
use super::segment::{Segment, judge_all};
use super::session::sessions;
use super::{Rows, Stage};
use crate::fingerprint::Fingerprint;
use crate::local_time::anywhere_on_earth;
use crate::raw::{Context, Span};

/// The input that was read: every row in [`SleepScope::spans_to_read`], and the stored days of
/// [`SleepScope::stored_dates`]. More of either does not change the result.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Raw rows, in any order.
    pub rows: Rows,
    /// The stored days.
    pub days: BTreeMap<NaiveDate, StoredDay>,
}

/// The parts of a stored day that decide whether it is recomputed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredDay {
    /// [`SleepDay::reach`] as it was written.
    pub reach: Span,
    /// [`Recomputed::fingerprint`] as it was written.
    pub fingerprint: i64,
}

/// The days to be written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recomputed {
    /// All days that the changes may have changed; `None` if the day has no rows (any more), so
    /// that its stored row is deleted.
    pub days: BTreeMap<NaiveDate, Option<SleepDay>>,
    /// The fingerprint to be stored with the days.
    pub fingerprint: i64,
}

/// The result of a computation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The days to be written.
    Complete(Recomputed),
    /// More rows must be read: other days are concerned, a session continues beyond the rows read,
    /// or a day was stored under another context. At most eight rounds occur.
    Widen(SleepScope),
}

/// A digest of all inputs of the figures of sleep except the raw rows.
pub fn fingerprint(context: &Context<'_>) -> i64 {
    let mut digest = Fingerprint::new();
    for stage in Stage::ALL {
        let metric = context.catalogue.metric(stage.metric());
        let metric = metric.map_or(0, |metric| context.fingerprint(metric));
        digest.text(stage.metric()).integer(metric.cast_unsigned());
    }
    digest.finish().cast_signed()
}

/// Computes the days that a scope concerns, each as a whole from raw rows alone.
///
/// These are the stored days whose [reach](SleepDay::reach) contains a changed row, so that a
/// session that moved to another date leaves its old one. They also are the days of the sessions
/// that a changed row may belong to now, and the days of changed rows that are rejected.
///
/// If a profile changes, stored days stay unchanged until a changed row concerns them. Then their
/// sessions get new dates, and the days of these are computed, too. Other days keep their former
/// context, like days of other vitals.
pub fn recompute(context: &Context<'_>, scope: &SleepScope, snapshot: &Snapshot) -> Outcome {
    let fingerprint = fingerprint(context);
    let judged = judge_all(context, &snapshot.rows);
    let reads: Vec<Read<'_>> = scope
        .spans_to_read()
        .into_iter()
        .map(|span| {
            let (from, to) = span;
            let within = |s: &&Segment<'_>| s.start < to && s.end >= from;
            let segments: Vec<_> = judged.segments.iter().filter(within).copied().collect();
            let rejected = judged.rejected.iter().filter(|(at, _)| (from..to).contains(at));
            let sessions = sessions(context, &segments, span);
            let uncertain = sessions.iter().filter(|session| !session.is_certain);
            let uncertain = uncertain
                .map(|session| (session.reach, session.possible_dates(context.base_zone)))
                .collect();
            Read { span, uncertain, parts: parts(sessions, rejected.copied()) }
        })
        .collect();

    let mut wider = scope.clone();
    let concerned = snapshot.days.iter().filter(|(date, day)| scope.concerns(**date, day.reach));
    let outdated = concerned.clone().filter(|(_, day)| day.fingerprint != fingerprint);
    wider.outdated.extend(outdated.map(|(_, day)| day.reach));

    let mut days: BTreeSet<NaiveDate> = scope.wanted.clone();
    days.extend(concerned.map(|(date, _)| *date));
    for read in &reads {
        let touched = read.parts.iter().filter(|(_, parts)| parts.are_touched(scope));
        days.extend(touched.map(|(date, _)| *date));
        let touched = read.uncertain.iter().filter(|(reach, _)| scope.touches(*reach));
        days.extend(touched.flat_map(|(_, dates)| dates));
    }
    if scope.can_widen() && reads.iter().any(|read| read.is_too_narrow(&days)) {
        wider.widened += 1;
    }
    wider.dates.extend(&days);
    if wider != *scope {
        return Outcome::Widen(wider);
    }

    let mut recomputed = Recomputed { days: BTreeMap::new(), fingerprint };
    for mut read in reads {
        for date in &days {
            if read.contains_date(*date) {
                let parts = read.parts.remove(date);
                let figures = parts.and_then(|parts| parts.figures(*date, context));
                recomputed.days.insert(*date, figures);
            }
        }
    }
    Outcome::Complete(recomputed)
}

/// The sessions of the rows of one span.
struct Read<'row> {
    span: Span,
    /// The reach and the possible dates of each uncertain session: it, or one of its rivals,
    /// continues beyond the rows read. Its true end date, and whether it counts, are unknown.
    uncertain: Vec<(Span, BTreeSet<NaiveDate>)>,
    parts: BTreeMap<NaiveDate, Parts<'row>>,
}

impl Read<'_> {
    /// Whether this span contains all instants of a date.
    fn contains_date(&self, date: NaiveDate) -> bool {
        let (start, end) = anywhere_on_earth(date);
        self.span.0 <= start && end <= self.span.1
    }

    /// Whether more must be read to compute one of `days`. With the farthest margin, an uncertain
    /// session is farther away than any row that the days depend on.
    fn is_too_narrow(&self, days: &BTreeSet<NaiveDate>) -> bool {
        self.uncertain.iter().any(|(_, dates)| !dates.is_disjoint(days))
    }
}
