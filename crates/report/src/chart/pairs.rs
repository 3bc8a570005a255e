//! A chart of single measurements of blood pressure: for each, a mark for either pressure.

use maud::{Markup, html};

use super::levels::{Line, Shape, reference};
use super::{Chart, place};

/// Size of a mark with few and with many measurements.
const SIZES: (f64, f64) = (3.6, 2.2);

/// From this number of measurements on, marks are small.
const MANY: usize = 60;

/// One measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Its position in slots.
    pub position: f64,
    /// The systolic pressure.
    pub systolic: f64,
    /// The diastolic pressure.
    pub diastolic: f64,
    /// Whether one of them is only a bound.
    pub is_bound: bool,
    /// The tooltip.
    pub words: String,
}

/// The measurements, each with a line between its two pressures, over some lines to compare with.
pub fn pairs(chart: &Chart<'_>, lines: &[Line], pairs: &[Pair]) -> Markup {
    let size = if pairs.len() < MANY { SIZES.0 } else { SIZES.1 };
    let marks = html! {
        @for line in lines { (reference(chart, *line)) }
        @for pair in pairs {
            @let x = chart.frame.x(pair.position, chart.slots.count());
            @let (top, bottom) = (chart.y(pair.systolic), chart.y(pair.diastolic));
            g {
                title { (pair.words) }
                line.pair x1=(place(x)) x2=(place(x)) y1=(place(top)) y2=(place(bottom)) {}
                (Shape::Down.at(x, top, size, pair.is_bound))
                (Shape::Up.at(x, bottom, size, pair.is_bound))
            }
        }
    };
    chart.draw(&marks)
}
