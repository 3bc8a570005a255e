//! Measurements of this worker: rates over the last hour, and quantiles of waits and holds, out of its own
//! metrics.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aggregation::Kind;

use crate::target;

/// How often the counters are read.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(15);

/// An hour of samples.
const SAMPLES: usize = 240;

/// The span over which the rates at the moment are taken.
const NOW: Duration = Duration::from_secs(60);

/// The counters of all kinds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    /// Rows done, by kind.
    pub rows: [f64; Kind::ALL.len()],
    /// Groups committed, by kind.
    pub groups: [f64; Kind::ALL.len()],
}

/// The counters of the last hour.
#[derive(Debug)]
pub struct Rates(VecDeque<(Instant, Counters)>);

/// Rates of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// Rows a second over the last minute.
    pub rows: f64,
    /// Groups a second over the last minute.
    pub groups: f64,
    /// Rows a second between each two samples of the last hour.
    pub history: Vec<f64>,
}

impl Rates {
    /// Begins to count.
    pub fn new(now: Instant) -> Self {
        Self(VecDeque::from([(now, Counters::default())]))
    }

    /// Adds a sample.
    pub fn add(&mut self, now: Instant, counters: Counters) {
        self.0.push_back((now, counters));
        while self.0.len() > SAMPLES + 1 {
            self.0.pop_front();
        }
    }

    /// The rates of a kind.
    pub fn of(&self, kind: Kind) -> Rate {
        let index = Kind::ALL.iter().position(|of| *of == kind).unwrap_or_default();
        let last = self.0.back().copied();
        let first = last.and_then(|(now, _)| {
            let old_enough = |of: &&(Instant, Counters)| now.duration_since(of.0) >= NOW;
            self.0.iter().rev().find(old_enough).or(self.0.front()).copied()
        });
        let rate = |of: fn(&Counters, usize) -> f64| match (first, last) {
            (Some((before, was)), Some((now, is))) if now > before => {
                (of(&is, index) - of(&was, index)).max(0.0) / (now - before).as_secs_f64()
            }
            _ => 0.0,
        };
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        let history = pairs.map(|((before, was), (now, is))| {
            let seconds = (*now - *before).as_secs_f64().max(1e-3);
            (is.rows[index] - was.rows[index]).max(0.0) / seconds
        });
        Rate {
            rows: rate(|of, index| of.rows[index]),
            groups: rate(|of, index| of.groups[index]),
            history: history.collect(),
        }
    }
}

/// The series of a metric in Prometheus's text: the labels between the braces, and the value. If there are several
/// targets, only the series of the calling task's target.
fn series<'t>(text: &'t str, name: &'t str) -> impl Iterator<Item = (&'t str, f64)> {
    let target = target::name();
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        let is_of_target = target.is_none() || label(labels, "target") == target.as_deref();
        is_of_target.then_some((labels, value.trim().parse().ok()?))
    })
}

fn label<'l>(labels: &'l str, name: &str) -> Option<&'l str> {
    let parts = labels.split(',').filter_map(|part| part.split_once('='));
    parts.filter(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"')).next()
}

/// The counters in the metrics.
pub fn counters(metrics: &str) -> Counters {
    let of = |name: &str, outcomes: &[&str]| {
        let mut sums = [0.0; Kind::ALL.len()];
        for (labels, value) in series(metrics, name) {
            let is_wanted = label(labels, "outcome").is_some_and(|of| outcomes.contains(&of));
            let kind = label(labels, "kind");
            let index = Kind::ALL.iter().position(|of| Some(of.name()) == kind);
            if let Some(sum) = index.and_then(|index| sums.get_mut(index)).filter(|_| is_wanted) {
                *sum += value;
            }
        }
        sums
    };
    Counters {
        rows: of("dayfold_rows_total", &["completed", "rejected"]),
        groups: of("dayfold_groups_total", &["committed"]),
    }
}

/// Seconds below which a share of waits or holds lay. The histogram has bounds only, so it is the bound of the
/// bucket in which the share is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantiles {
    /// Half of them; `None` if there were none, infinite if it is beyond the last bound.
    pub p50: Option<f64>,
    /// All but one in a hundred.
    pub p99: Option<f64>,
}

/// The quantiles of a histogram over all its labels but the page's own purpose.
pub fn quantiles(metrics: &str, histogram: &str) -> Quantiles {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    let name = format!("{histogram}_bucket");
    for (labels, count) in series(metrics, &name) {
        if label(labels, "purpose") == Some("page") {
            continue;
        }
        let Some(bound) = label(labels, "le") else { continue };
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap_or(f64::NAN) };
        match buckets.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, sum)) => *sum += count,
            None => buckets.push((bound, count)),
        }
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    let at = |share: f64| {
        let reached = |of: &&(f64, f64)| all > 0.0 && of.1 >= all * share;
        buckets.iter().find(reached).map(|(bound, _)| *bound)
    };
    Quantiles { p50: at(0.5), p99: at(0.99) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "\
# TYPE dayfold_rows_total counter
dayfold_rows_total{kind=\"vitals\",outcome=\"completed\"} 120
dayfold_rows_total{kind=\"vitals\",outcome=\"rejected\"} 3
dayfold_rows_total{kind=\"vitals\",outcome=\"failed\"} 40
dayfold_rows_total{kind=\"labs\",outcome=\"completed\"} 7
dayfold_groups_total{kind=\"vitals\",outcome=\"committed\"} 12
dayfold_pool_wait_seconds_bucket{le=\"0.001\"} 50
dayfold_pool_wait_seconds_bucket{le=\"0.005\"} 98
dayfold_pool_wait_seconds_bucket{le=\"+Inf\"} 100
dayfold_pool_hold_seconds_bucket{purpose=\"group\",le=\"0.01\"} 1
dayfold_pool_hold_seconds_bucket{purpose=\"group\",le=\"+Inf\"} 1
dayfold_pool_hold_seconds_bucket{purpose=\"page\",le=\"0.01\"} 0
dayfold_pool_hold_seconds_bucket{purpose=\"page\",le=\"+Inf\"} 900
";

    #[test]
    fn counters_are_read_out_of_the_metrics() {
        let found = counters(METRICS);
        assert_eq!(found.rows, [123.0, 0.0, 7.0]);
        assert_eq!(found.groups, [12.0, 0.0, 0.0]);
    }

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket_without_the_holds_of_the_page() {
        let waits = quantiles(METRICS, "dayfold_pool_wait_seconds");
        assert_eq!(waits, Quantiles { p50: Some(0.001), p99: Some(f64::INFINITY) });
        let holds = quantiles(METRICS, "dayfold_pool_hold_seconds");
        assert_eq!(holds.p99, Some(0.01));
        assert_eq!(quantiles("", "dayfold_pool_wait_seconds"), Quantiles::default());
    }

    #[test]
    fn of_several_targets_the_series_of_the_own_one_count() {
        let metrics = "\
dayfold_groups_total{target=\"a\",kind=\"labs\",outcome=\"committed\"} 5
dayfold_groups_total{target=\"b\",kind=\"labs\",outcome=\"committed\"} 7
";
        let of = |name: &str| target::within_sync(name.into(), || counters(metrics)).groups;
        assert_eq!((of("a"), of("b")), ([0.0, 0.0, 5.0], [0.0, 0.0, 7.0]));
    }

    #[test]
    fn rates_are_those_of_the_last_minute_and_the_history_has_an_hour() {
        let start = Instant::now();
        let mut rates = Rates::new(start);
        let mut counters = Counters::default();
        for step in 1..=300_u32 {
            // 10 rows a second, and 20 in the last minute.
            counters.rows[0] += if step > 296 { 300.0 } else { 150.0 };
            rates.add(start + SAMPLE_EVERY * step, counters);
        }
        let rate = rates.of(Kind::Vitals);
        assert_eq!((rate.rows, rate.groups), (20.0, 0.0));
        assert_eq!((rate.history.len(), rate.history[0]), (SAMPLES, 10.0));
        assert_eq!(rates.of(Kind::Labs).rows, 0.0);
    }
}
