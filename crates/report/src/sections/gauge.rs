//! The position of a result in its reference range.

use maud::{Markup, html};
use store::LabResults;

use super::reported::{range, said};
use crate::chart::{Shape, place};
use crate::text;

/// The margin on either side of a gauge's values, as a share of their span.
const GAUGE_MARGIN: f64 = 0.4;
const GAUGE_WIDTH: f64 = 120.0;

/// A gauge: the position of a result relative to its reference range.
pub fn gauge(value: f64, row: &LabResults) -> Markup {
    let ends = [row.reference_low, row.reference_high];
    let known = || ends.into_iter().flatten().chain([value]);
    let least = known().fold(f64::INFINITY, f64::min);
    let greatest = known().fold(f64::NEG_INFINITY, f64::max);
    if ends == [None, None] || !least.is_finite() || !greatest.is_finite() {
        return html! {};
    }
    let span = Some(greatest - least).filter(|span| *span > 0.0).unwrap_or(1.0);
    let low = least - GAUGE_MARGIN * span;
    let x = |value: f64| GAUGE_WIDTH * ((value - low) / (span * (1.0 + 2.0 * GAUGE_MARGIN)));
    let left = row.reference_low.map_or(0.0, x);
    let right = row.reference_high.map_or(GAUGE_WIDTH, x);
    let label = {
        let range = range(row, text::result).unwrap_or_default();
        format!("{} beside its reference range {range}", said(row, text::result))
    };
    html! {
        svg.gauge viewBox=(format!("0 0 {GAUGE_WIDTH} 16")) role="img" aria-label=(label) {
            line.floor x1="0" x2=(GAUGE_WIDTH) y1="8" y2="8" {}
            rect.reference x=(place(left)) y="3" width=(place(right - left)) height="10" {}
            @if row.reference_low.is_some() { line.end x1=(place(left)) x2=(place(left)) y1="1" y2="15" {} }
            @if row.reference_high.is_some() { line.end x1=(place(right)) x2=(place(right)) y1="1" y2="15" {} }
            (Shape::Disc.at(x(value), 8.0, 4.5, row.last_comparator.is_some()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reported::tests::result;
    use super::*;

    #[test]
    fn a_result_without_a_range_has_no_gauge_and_one_beyond_it_lies_beside_it() {
        assert_eq!(gauge(4.0, &result(None, None)).into_string(), "");
        let drawn = gauge(6.0, &result(Some(3.5), Some(5.1))).into_string();
        let (_, range) = drawn.split_once("<rect").unwrap();
        assert!(range.contains("x=\"26.7\"") && range.contains("cx=\"93.3\""), "{drawn}");
        assert_eq!(drawn.matches("class=\"end\"").count(), 2, "{drawn}");
        let open = gauge(4.0, &result(None, Some(5.1))).into_string();
        assert_eq!(open.matches("class=\"end\"").count(), 1, "{open}");
    }
}
