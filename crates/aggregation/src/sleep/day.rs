//! The figures of one day of sleep.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::scope::SleepScope;
use super::session::{Lengths, Session};
use crate::Timestamp;
use crate::local_time::Zone;
use crate::raw::{Context, LocalDate, LocalDates, Span};
use crate::timestamp::MINUTE_US;

/// The sleep of a person who woke on a local date: a row of `sleep_daily`.
///
/// Figures cover all the day's sessions, including naps, unless they say otherwise. All minutes are
/// exact sums of microseconds, divided once. `None` means that the day's sources cannot know the
/// figure; it is not 0.
#[derive(Clone, Debug, PartialEq)]
pub struct SleepDay {
    /// Time asleep in minutes: the union of core, deep and REM sleep and of sleep without a stage,
    /// minus the time that the same source calls awake. The four add up to it. `None` if the day's
    /// sources have no sleep.
    pub asleep_minutes: Option<f64>,
    /// Core (light) sleep in minutes. It is `None` if no source has stages, like `deep_minutes` and
    /// `rem_minutes`.
    pub core_minutes: Option<f64>,
    /// Deep sleep in minutes.
    pub deep_minutes: Option<f64>,
    /// REM sleep in minutes.
    pub rem_minutes: Option<f64>,
    /// Time asleep without a known stage, in minutes.
    pub unspecified_minutes: Option<f64>,
    /// Time awake within sessions, in minutes, even if another state overlaps it. `None` if no
    /// source has stages or times awake.
    pub awake_minutes: Option<f64>,
    /// Time in bed in minutes: the union of in bed and asleep. For a session of sleep without rows
    /// of the bed, it is the time from its first segment to its last. `None` without either.
    pub in_bed_minutes: Option<f64>,
    /// `asleep_minutes / in_bed_minutes`, from 0 to 1; `None` if either is unknown. (Sleep
    /// efficiency is total sleep time over time in bed, AASM scoring manual.)
    pub efficiency: Option<f64>,
    /// The first instant of the main session. It is the session with sleep that has the longest
    /// time asleep, then in bed, then the earliest. `None` if no session has sleep.
    pub main_start: Option<Timestamp>,
    /// The last instant of the main session.
    pub main_end: Option<Timestamp>,
    /// Other sessions with any sleep in them.
    pub nap_count: i32,
    /// Time asleep in naps, in minutes. `asleep_minutes` includes it.
    pub nap_minutes: Option<f64>,
    /// Segments that count: rows of the best source of each period.
    pub segment_count: i32,
    /// Segments that count, by source.
    pub sources: BTreeMap<String, i32>,
    /// The source of the main session; without one, of the session with the longest time in bed.
    pub primary_source: Option<String>,
    /// Rejected rows that start on this date in their own zone.
    pub rejected_count: i32,
    /// The zone of the day's bounds: the zone that all its rows share, else the base zone.
    pub time_zone: String,
    /// The first instant of the date in that zone.
    pub day_start: Timestamp,
    /// The first instant after the date in that zone.
    pub day_end: Timestamp,
    /// The span, both ends included, that affects this day: a changed row wholly outside does not
    /// change the day. It is stored with the day, see [`StoredDay`](super::StoredDay).
    pub reach: Span,
}

/// The inputs of the figures of one date.
#[derive(Debug, Default)]
pub(super) struct Parts<'row> {
    /// The sessions in time order.
    pub(super) sessions: Vec<Session<'row>>,
    rejected: Vec<(Timestamp, Zone)>,
}

/// The parts of each date, from the sessions that count, ordered by start.
pub(super) fn parts<'row>(
    sessions: impl IntoIterator<Item = Session<'row>>,
    rejected: impl IntoIterator<Item = (Timestamp, Zone)>,
) -> BTreeMap<NaiveDate, Parts<'row>> {
    let mut parts: BTreeMap<NaiveDate, Parts<'row>> = BTreeMap::new();
    for session in sessions.into_iter().filter(|session| session.counts) {
        parts.entry(session.date).or_default().sessions.push(session);
    }
    for (start, zone) in rejected {
        parts.entry(zone.date_of(start)).or_default().rejected.push((start, zone));
    }
    parts
}

impl Parts<'_> {
    /// Whether a changed row may belong to these parts.
    pub(super) fn are_touched(&self, scope: &SleepScope) -> bool {
        self.sessions.iter().any(|session| scope.touches(session.reach))
            || self.rejected.iter().any(|(at, _)| scope.touches((*at, *at)))
    }

    /// The figures of these parts; `None` if there are neither sessions nor rejected rows.
    pub(super) fn figures(mut self, date: NaiveDate, context: &Context<'_>) -> Option<SleepDay> {
        self.rejected.sort_by_cached_key(|(start, zone)| (*start, zone.to_string()));
        let longest = self.sessions.iter().max_by(|a, b| longer(a, b));
        let has_sleep = |session: &&Session<'_>| session.lengths.asleep.is_some_and(|of| of > 0);
        let main = longest.filter(has_sleep);
        let is_other =
            |session: &&Session<'_>| main.is_some_and(|main| main.start != session.start);
        let naps = || self.sessions.iter().filter(has_sleep).filter(is_other);

        let dates = LocalDates::new(context.base_zone);
        let local_date = |zone: Zone| LocalDate { zone, date };
        // Rejected rows decide the zone only if no other row names one.
        let counted = longest.into_iter().chain(&self.sessions);
        let zone = dates
            .zone_of_day(counted.flat_map(|session| &session.zones).map(|zone| local_date(*zone)))
            .or_else(|| {
                dates.zone_of_day(self.rejected.iter().map(|(_, zone)| local_date(*zone)))
            })?;

        let mut sources: BTreeMap<String, i32> = BTreeMap::new();
        for session in &self.sessions {
            let so_far = sources.entry(session.source.to_owned()).or_default();
            *so_far = so_far.saturating_add(count(session.segments.len()));
        }
        let reaches = self.sessions.iter().map(|session| session.reach);
        let reaches = || reaches.clone().chain(self.rejected.iter().map(|(at, _)| (*at, *at)));
        let reach = (reaches().map(|span| span.0).min()?, reaches().map(|span| span.1).max()?);

        let sum = |length: fn(&Lengths) -> Option<i64>| {
            let known = self.sessions.iter().filter_map(|session| length(&session.lengths));
            known.reduce(|sum, length| sum + length)
        };
        let (asleep, in_bed) = (sum(|l| l.asleep), sum(|l| l.in_bed));
        // A phone knows when its owner is in bed, but not whether they sleep. Beside such a night,
        // a nap says nothing about the efficiency.
        let knows_all = self
            .sessions
            .iter()
            .all(|session| session.lengths.asleep.is_some() || session.lengths.in_bed.is_none());
        let in_naps = naps().filter_map(|session| session.lengths.asleep).sum();
        Some(SleepDay {
            asleep_minutes: asleep.map(minutes),
            core_minutes: sum(|l| l.core).map(minutes),
            deep_minutes: sum(|l| l.deep).map(minutes),
            rem_minutes: sum(|l| l.rem).map(minutes),
            unspecified_minutes: sum(|l| l.unspecified).map(minutes),
            awake_minutes: sum(|l| l.awake).map(minutes),
            in_bed_minutes: in_bed.map(minutes),
            efficiency: asleep
                .zip(in_bed.filter(|in_bed| *in_bed > 0 && knows_all))
                .map(|(asleep, in_bed)| asleep as f64 / in_bed as f64),
            main_start: main.map(|main| main.start),
            main_end: main.map(|main| main.end),
            nap_count: count(naps().count()),
            nap_minutes: asleep.map(|_| minutes(in_naps)),
            segment_count: count(self.sessions.iter().map(|session| session.segments.len()).sum()),
            sources,
            primary_source: longest.map(|longest| longest.source.to_owned()),
            rejected_count: count(self.rejected.len()),
            time_zone: zone.to_string(),
            day_start: zone.day_start(date),
            day_end: zone.day_end(date),
            reach,
        })
    }
}

/// Compares by time asleep (unknown is lowest), time in bed, and early start. Sessions of a date
/// never overlap, so no two begin together.
fn longer(a: &Session<'_>, b: &Session<'_>) -> std::cmp::Ordering {
    (a.lengths.asleep, a.lengths.in_bed)
        .cmp(&(b.lengths.asleep, b.lengths.in_bed))
        .then_with(|| b.start.cmp(&a.start))
}

fn minutes(microseconds: i64) -> f64 {
    microseconds as f64 / MINUTE_US as f64
}

fn count(rows: usize) -> i32 {
    i32::try_from(rows).unwrap_or(i32::MAX)
}
