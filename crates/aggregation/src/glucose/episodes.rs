//! Episodes of low and of high glucose.
//!
//! The consensus (Danne et al. 2017; Battelino et al. 2019, 2023): an episode begins when glucose
//! is beyond the limit for at least 15 minutes, and ends when it is not for at least 15 minutes.
//! What a row of readings says about minutes is decided here:
//!
//! - **A reading stands until the next one**, at most for the median interval of its source. So
//!   three readings of a sensor that measures every 5 minutes make 15 minutes, fifteen of one
//!   that does every minute, and one of one that does every 15 minutes; so counts the package
//!   iglu, too (Broll et al., PLoS One 2021;16:e0248560). A reading of a meter, where the median
//!   is longer, stands for its instant only.
//! - **Between two readings on one side of the limit** glucose was on that side, unless they
//!   are more than 45 minutes apart (`inter_gap` of iglu's `episode_calculation`). Then nothing
//!   is known of the time in between: the episode is over, and a new one may begin.
//! - **Sensors' clocks jitter**, so half a minute less than 15 minutes is enough.
//! - **Each source is looked at for itself**, so that readings of a second one, which differ a
//!   little, do not cut an episode in pieces; episodes of several sources that overlap, or follow
//!   each other within 15 minutes, are one.

use super::Reading;
use super::coverage::{by_source, intervals, median};
use crate::Timestamp;
use crate::timestamp::{MINUTE_US, SECOND_US};

/// 15 minutes, less half a minute by which readings may come early or late.
const LEAST_DURATION_US: i64 = 15 * MINUTE_US - JITTER_US;

/// Sensors that measure less often than every 15 minutes are meters; see [`LEAST_DURATION_US`].
const LONGEST_INTERVAL_US: i64 = 15 * MINUTE_US + JITTER_US;

const JITTER_US: i64 = 30 * SECOND_US;

/// Readings farther apart say nothing of the time between them.
const LONGEST_GAP_US: i64 = 45 * MINUTE_US;

/// Beyond which limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Side {
    /// Below 70 mg/dL.
    Low,
    /// Above 180 mg/dL.
    High,
}

impl Side {
    fn contains(self, mg_per_dl: f64) -> bool {
        match self {
            Self::Low => mg_per_dl < 70.0,
            Self::High => mg_per_dl > 180.0,
        }
    }
}

/// From the first reading beyond the limit until the last one of them stands no more.
#[derive(Clone, Copy, Debug)]
struct Episode {
    start: Timestamp,
    end: Timestamp,
}

/// The episodes of a day's readings, which come in fact order; `None` if no source has readings
/// of two instants, so that nothing is known of durations.
pub(super) fn count(readings: &[Reading<'_>], side: Side) -> Option<usize> {
    let mut episodes = Vec::new();
    let mut is_known = false;
    for track in by_source(readings).values() {
        if let Some(interval) = median(intervals(track)) {
            is_known = true;
            let holds = if interval > LONGEST_INTERVAL_US as f64 { 0 } else { interval as i64 };
            episodes.extend(of_source(track, side, holds));
        }
    }
    episodes.sort_unstable_by_key(|episode: &Episode| (episode.start, episode.end));
    let mut separate = 0;
    let mut until: Option<Timestamp> = None;
    for episode in episodes {
        if until.is_none_or(|until| episode.start.since(until) >= LEAST_DURATION_US) {
            separate += 1;
        }
        until = until.max(Some(episode.end));
    }
    is_known.then_some(separate)
}

/// The episodes of one source, a reading of which stands for `holds` microseconds at most.
fn of_source(track: &[&Reading<'_>], side: Side, holds: i64) -> Vec<Episode> {
    let is_beyond = |reading: &Reading<'_>| side.contains(reading.placed);
    let is_gap = |from: Timestamp, to: Timestamp| to.since(from) > LONGEST_GAP_US;
    let mut episodes = Vec::new();
    let mut open: Option<Episode> = None;
    let mut before: Option<Timestamp> = None;
    let mut rest = track;
    while let [first, ..] = rest {
        let beyond = is_beyond(first);
        let more = rest
            .windows(2)
            .take_while(|pair| is_beyond(pair[1]) == beyond && !is_gap(pair[0].at, pair[1].at));
        let (stretch, after) = rest.split_at(1 + more.count());
        let last = stretch.last().unwrap_or(first).at;
        let stood = after.first().map_or(holds, |next| next.at.since(last).min(holds));
        let now = Episode { start: first.at, end: last.plus(stood) };

        if before.is_some_and(|before| is_gap(before, now.start)) {
            episodes.extend(open.take());
        }
        let is_long = now.end.since(now.start) >= LEAST_DURATION_US;
        match (beyond, &mut open) {
            (true, Some(episode)) => episode.end = now.end,
            (true, None) if is_long => open = Some(now),
            (false, Some(_)) if is_long => episodes.extend(open.take()),
            _ => {}
        }
        before = Some(last);
        rest = after;
    }
    episodes.extend(open);
    episodes
}
