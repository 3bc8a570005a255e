//! The ambulatory glucose profile: bands of percentiles over the hours of a day.

use maud::{Markup, html};

use super::levels::{Line, reference};
use super::{Chart, place};

/// Half the width in hours of a point without neighbours.
const ALONE: f64 = 0.25;

/// The percentiles at one time of day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Hours after midnight.
    pub hour: f64,
    /// The 5th, 25th, 50th, 75th and 95th percentile; `None` is a gap.
    pub percentiles: Option<[f64; 5]>,
}

/// A band between two percentiles, by their places, and the class of its area.
struct Band {
    low: usize,
    high: usize,
    class: &'static str,
}

/// The bands, the outer one first.
const BANDS: [Band; 2] =
    [Band { low: 0, high: 4, class: "range" }, Band { low: 1, high: 3, class: "half" }];

/// The place of the median.
const MEDIAN: usize = 2;

/// The bands and the median over a target range.
pub fn profile(chart: &Chart<'_>, target: Line, moments: &[Moment]) -> Markup {
    let known: Vec<(f64, Option<[f64; 5]>)> =
        moments.iter().map(|moment| (moment.hour, moment.percentiles)).collect();
    let runs = known.chunk_by(|a, b| a.1.is_some() == b.1.is_some());
    let runs: Vec<Vec<(f64, [f64; 5])>> = runs
        .map(|run| run.iter().filter_map(|(hour, of)| Some((*hour, (*of)?))).collect::<Vec<_>>())
        .filter(|run| !run.is_empty())
        .map(widened)
        .collect();
    let points = |run: &[(f64, [f64; 5])], which: usize| -> Vec<String> {
        let point = |(hour, of): &(f64, [f64; 5])| {
            let value = of.get(which).copied().unwrap_or_default();
            format!(
                "{} {}",
                place(chart.frame.x(*hour, chart.slots.count())),
                place(chart.y(value))
            )
        };
        run.iter().map(point).collect()
    };
    let area = |run: &[(f64, [f64; 5])], band: &Band| {
        let mut around = points(run, band.high);
        around.extend(points(run, band.low).into_iter().rev());
        format!("M{}Z", around.join("L"))
    };
    let marks = html! {
        @for run in &runs {
            @for band in &BANDS { path class=(band.class) d=(area(run, band)) {} }
        }
        (reference_lines(chart, target))
        @for run in &runs {
            @for outer in [0, 4] {
                path.line.outer d=(format!("M{}", points(run, outer).join("L"))) {}
            }
            path.line.median d=(format!("M{}", points(run, MEDIAN).join("L"))) {}
        }
    };
    chart.draw(&marks)
}

/// The ends of the target range, drawn over the bands.
fn reference_lines(chart: &Chart<'_>, target: Line) -> Markup {
    let ends = [target.low, target.high].into_iter().flatten();
    html! {
        @for end in ends {
            (reference(chart, Line { low: Some(end), high: Some(end), ..target }))
        }
    }
}

/// A point without neighbours gets some width, so that it can be seen.
fn widened(run: Vec<(f64, [f64; 5])>) -> Vec<(f64, [f64; 5])> {
    match run.as_slice() {
        [(hour, of)] => vec![((hour - ALONE).max(0.0), *of), ((hour + ALONE).min(24.0), *of)],
        _ => run,
    }
}
