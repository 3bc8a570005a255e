//! Columns that stand on the floor, their parts upon each other.

use maud::{Markup, html};

use super::fills::Fill;
use super::{Chart, place};

/// The widest column: a single day is no wall.
const WIDEST: f64 = 44.0;

/// What remains free between two columns, as a share of their slot.
const FREE: f64 = 0.22;

/// An amount of nothing is a line, so that it is not taken for a gap.
const LEAST_HEIGHT: f64 = 1.0;

/// One day's column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// From the floor up.
    pub parts: Vec<Part>,
    /// A frame up to this value, for a whole that is more than its parts.
    pub frame: Option<f64>,
    /// What a pointer on it is told.
    pub words: String,
}

/// A part of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// How it looks.
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

/// A chart of columns; a day without one is a gap.
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
