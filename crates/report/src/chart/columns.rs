//! Column charts with stacked parts.

use maud::{Markup, html};

use super::fills::Fill;
use super::{Chart, place};

/// The maximum width of a column, so that a single day does not fill the chart.
const WIDEST: f64 = 44.0;

/// The gap between two columns, as a share of their slot.
const FREE: f64 = 0.22;

/// The minimum height: an amount of 0 is a line, so that it differs from a gap.
const LEAST_HEIGHT: f64 = 1.0;

/// One day's column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The parts, from the bottom up.
    pub parts: Vec<Part>,
    /// The value at the top of a frame, for a total that exceeds the sum of its parts.
    pub frame: Option<f64>,
    /// The tooltip.
    pub words: String,
}

/// A part of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// The fill.
    pub fill: Fill,
    /// Its height, in the axis's unit.
    pub value: f64,
}

impl Column {
    /// Its height in the axis's unit.
    pub fn height(&self) -> f64 {
        let sum: f64 = self.parts.iter().map(|part| part.value).sum();
        self.frame.map_or(sum, |frame| sum.max(frame))
    }
}

/// A column chart; a day without a column is a gap.
pub fn columns(chart: &Chart<'_>, columns: &[Option<Column>]) -> Markup {
    let count = chart.slots.count();
    let free = if chart.frame.is_narrow(count) { 0.0 } else { FREE };
    let width = (chart.frame.slot(count) * (1.0 - free)).min(WIDEST);
    let marks = html! {
        @for (index, column) in columns.iter().enumerate() {
            @if let Some(column) = column {
                @let x = chart.middle(index) - width / 2.0;
                g { title { (column.words) } (parts(chart, column, x, width)) }
            }
        }
    };
    chart.draw(&marks)
}

fn parts(chart: &Chart<'_>, column: &Column, x: f64, width: f64) -> Markup {
    let y = |value| chart.frame.y(&chart.scale, value);
    let mut below = 0.0;
    let mut rects = Vec::new();
    for part in column.parts.iter().filter(|part| part.value.is_finite()) {
        let above = below + part.value.max(0.0);
        let (top, bottom) = (y(above), y(below));
        let is_alone = column.parts.len() == 1;
        let height = (bottom - top).max(if is_alone { LEAST_HEIGHT } else { 0.0 });
        if height > 0.0 {
            rects.push((part.fill, bottom - height, height));
        }
        below = above;
    }
    let is_narrow = chart.frame.is_narrow(chart.slots.count());
    let end = place(x + width);
    let (x, width) = (format!("{x:.2}"), format!("{width:.2}"));
    html! {
        @for (fill, top, height) in rects {
            rect.part[!is_narrow] x=(x) y=(place(top)) width=(width) height=(format!("{height:.2}"))
                fill=(fill.reference()) {}
        }
        @if let Some(frame) = column.frame {
            @let top = y(frame);
            @if is_narrow {
                line.frame x1=(x) x2=(end) y1=(place(top)) y2=(place(top)) {}
            } @else {
                rect.frame x=(x) y=(place(top)) width=(width) height=(place(chart.frame.floor() - top)) {}
            }
        }
    }
}
