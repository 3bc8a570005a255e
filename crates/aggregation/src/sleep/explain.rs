//! Explains a night's figures: the session of each raw row, and whether it counts.

use chrono::NaiveDate;

use super::Rows;
use super::scope::SleepScope;
use super::segment::{Segment, judge_all};
use super::session::{Session, sessions};
use crate::Reason;
use crate::local_time::anywhere_on_earth;
use crate::raw::{Context, Judgement, judge_each};
use crate::vitals::explain::{Fate as VitalFate, rejected};
use crate::zones::Zones;

/// The fate of a raw row of sleep in the figures of one date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its session counts on the date.
    Counts,
    /// Another source's session is the better one for its time.
    Beaten {
        /// The source of the session that counts.
        by: String,
    },
    /// It has no length, so it counts nothing.
    NoLength,
    /// The same row was sent again later.
    SentAgain {
        /// The row that counts in its place.
        newest: i64,
    },
    /// It is rejected.
    Rejected(Reason),
    /// Its session ends on another date.
    OtherDate(NaiveDate),
}

/// The fate of each row on a date, by its id, with the sessions by which the figures are computed. `rows` are
/// those with which [`super::recompute()`] was complete for `scope`.
pub fn explain(
    context: &Context<'_>,
    scope: &SleepScope,
    rows: &Rows,
    date: NaiveDate,
) -> Vec<(i64, Fate)> {
    let judged = judge_all(context, rows);
    let (first, last) = anywhere_on_earth(date);
    let span = scope.spans_to_read().into_iter().find(|(from, to)| *from <= first && last <= *to);
    let Some(span) = span else { return Vec::new() };
    let within = |segment: &&Segment<'_>| segment.start < span.1 && segment.end >= span.0;
    let segments: Vec<_> = judged.segments.iter().filter(within).copied().collect();
    let sessions = sessions(context, &segments, span);

    let mut fates = Vec::new();
    let mut zones = Zones::new(context.base_zone);
    for (stage, rows) in rows {
        let Some(metric) = context.catalogue.metric(stage.metric()) else { continue };
        judge_each(rows, metric, &mut zones, |row, zones, judgement| {
            let fate = match judgement {
                Judgement::SentAgain { newest } => Fate::SentAgain { newest },
                Judgement::Rejected(reason) => {
                    let zone = zones.resolve(row.time_zone.as_deref()).ok();
                    match rejected(row, zone, reason, date) {
                        VitalFate::OtherDate(other) => Fate::OtherDate(other),
                        _ => Fate::Rejected(reason),
                    }
                }
                Judgement::Sample(sample) if row.started_at >= row.ended_at => {
                    match sample.zone.date_of(row.started_at) {
                        of_row if of_row == date => Fate::NoLength,
                        other => Fate::OtherDate(other),
                    }
                }
                Judgement::Sample(sample) => {
                    let is_in = |session: &&Session<'_>| {
                        session.source == &*row.source
                            && session.segments.iter().any(|segment| {
                                segment.stage == *stage
                                    && segment.start >= row.started_at
                                    && segment.end <= row.ended_at
                            })
                    };
                    // One that is cut at noon is in several.
                    let of_row: Vec<&Session<'_>> = sessions.iter().filter(is_in).collect();
                    let on_date = of_row.iter().find(|session| session.date == date);
                    match on_date.or(of_row.first()) {
                        Some(session) if session.date != date => Fate::OtherDate(session.date),
                        Some(session) if session.counts => Fate::Counts,
                        Some(session) => Fate::Beaten { by: winner(session, &sessions) },
                        None => Fate::OtherDate(sample.zone.date_of(row.ended_at)),
                    }
                }
            };
            fates.push((row.id, fate));
        });
    }
    fates.sort_unstable_by_key(|(id, _)| *id);
    fates
}

/// The source of the session nearest to a beaten one that counts.
fn winner(beaten: &Session<'_>, sessions: &[Session<'_>]) -> String {
    let counting =
        sessions.iter().filter(|session| session.counts && session.source != beaten.source);
    let gap = |session: &&Session<'_>| {
        (session.start.since(beaten.end)).max(beaten.start.since(session.end)).max(0)
    };
    counting.min_by_key(gap).map_or_else(String::new, |session| session.source.to_owned())
}
