//! How much of the day was measured.

use std::collections::BTreeMap;

use super::Reading;
use crate::Timestamp;

/// The least coverage, in percent, that lets a day stand for itself: the 70 % of the
/// international consensus (Danne et al. 2017; Battelino et al. 2019).
pub const SUFFICIENT_COVERAGE_PERCENT: f64 = 70.0;

/// The readings of each source, in fact order.
pub(super) fn by_source<'r, 'row>(
    readings: &'r [Reading<'row>],
) -> BTreeMap<&'row str, Vec<&'r Reading<'row>>> {
    let mut tracks: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for reading in readings {
        tracks.entry(reading.source).or_default().push(reading);
    }
    tracks
}

/// Microseconds between successive readings of one source that differ in time.
pub(super) fn intervals(track: &[&Reading<'_>]) -> Vec<i64> {
    let between = track.windows(2).map(|pair| pair[1].at.since(pair[0].at));
    between.filter(|interval| *interval > 0).collect()
}

/// The middle one, or the mean of the middle two; `None` of none.
pub(super) fn median(mut numbers: Vec<i64>) -> Option<f64> {
    numbers.sort_unstable();
    let upper = *numbers.get(numbers.len() / 2)?;
    let lower = numbers[(numbers.len() - 1) / 2];
    Some((lower as f64 + upper as f64) / 2.0)
}

/// Readings as a percentage of those expected at the median interval, at most 100; `None` if no
/// source has readings of two instants, or if the day has no length.
///
/// Intervals are those within a source: between two sources they say nothing of how often
/// either measures. If an app passes on what a sensor wrote itself, or two sensors are worn, a
/// stretch of time is covered once; see [`countable`].
pub(super) fn percent(readings: &[Reading<'_>], day_length_us: i64) -> Option<f64> {
    let tracks = by_source(readings);
    let interval = median(tracks.values().flat_map(|track| intervals(track)).collect())?;
    let expected = day_length_us as f64 / interval;
    (expected > 0.0).then(|| (100.0 * countable(readings, interval) as f64 / expected).min(100.0))
}

/// How many readings count for coverage: all of one source that differ in time; but none that
/// comes less than `interval` after a counted one of another source, with none of its own in
/// between. So a source counts while another is silent.
fn countable(readings: &[Reading<'_>], interval: f64) -> usize {
    let mut last: Option<(Timestamp, &str)> = None;
    let mut counted = 0;
    for reading in readings {
        let is_new = last.is_none_or(|(at, source)| {
            let since = reading.at.since(at);
            if source == reading.source { since > 0 } else { since as f64 >= interval }
        });
        if is_new {
            counted += 1;
            last = Some((reading.at, reading.source));
        }
    }
    counted
}
