//! Charts of measurements: a mark for each day, with its range.

use maud::{Markup, html};

use super::{Chart, Foot, place};

/// The maximum width of a range and a box.
const WIDEST: f64 = 16.0;

/// Their width as a share of a slot.
const TAKEN: f64 = 0.7;

/// The minimum and the maximum size of a mark.
const MARKS: (f64, f64) = (2.4, 3.6);

/// The space above a mark for its flag.
const FLAG_ROOM: f64 = 18.0;

/// The width of the widest flag; a flag that would touch the one before it is only in the table.
const FLAG_WIDTH: f64 = 38.0;

/// A day's values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Level {
    /// Minimum and maximum.
    pub range: Option<(f64, f64)>,
    /// The ends of the middle half of the readings.
    pub half: Option<(f64, f64)>,
    /// The value of the mark.
    pub value: Option<f64>,
    /// Whether the value is only a bound.
    pub is_bound: bool,
    /// A letter beside the mark.
    pub flag: Option<String>,
    /// The tooltip.
    pub words: String,
}

/// The values of one series, a day per slot.
#[derive(Clone, Debug)]
pub struct Series {
    /// The mark.
    pub shape: Shape,
    /// A level for each slot.
    pub levels: Vec<Option<Level>>,
    /// Whether marks with a gap between them are connected by dashes.
    pub over_gaps: bool,
}

/// The form of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A disc.
    Disc,
    /// A triangle that points down, for the systolic pressure.
    Down,
    /// A triangle that points up.
    Up,
}

/// A reference value, or a range of them, over some slots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// The first slot, and the one after the last.
    pub slots: (usize, usize),
    /// The lower end; `None` if it is open.
    pub low: Option<f64>,
    /// The upper end; for a line it equals the lower end.
    pub high: Option<f64>,
}

impl Level {
    /// Every value that must fit on the axis.
    pub fn values(&self) -> impl Iterator<Item = f64> + use<> {
        let pair = |pair: Option<(f64, f64)>| pair.into_iter().flat_map(|(a, b)| [a, b]);
        pair(self.range).chain(pair(self.half)).chain(self.value)
    }
}

/// A chart of levels; a day without one is a gap, also in the line.
pub fn levels(chart: &Chart<'_>, lines: &[Line], series: &[Series]) -> Markup {
    let marks = html! {
        @for line in lines { (reference(chart, *line)) }
        @for of in series {
            @for (index, level) in of.levels.iter().enumerate() {
                @if let Some(level) = level { (spread(chart, level, index)) }
            }
        }
        @for of in series {
            (connections(chart, of))
            @for (index, level) in of.levels.iter().enumerate() {
                @if let Some(level) = level { (mark(chart, of, level, index)) }
            }
            (flags(chart, of))
        }
    };
    chart.draw(&marks)
}

/// A reference range, or a line where its ends are equal.
pub fn reference(chart: &Chart<'_>, line: Line) -> Markup {
    let count = chart.slots.count();
    let x = |slot: usize| chart.frame.x(slot as f64, count);
    let (left, right) = (x(line.slots.0), x(line.slots.1));
    let y = |value| chart.frame.y(&chart.scale, value);
    let (top, bottom) =
        (line.high.map_or(chart.frame.top, y), line.low.map_or_else(|| chart.frame.floor(), y));
    html! {
        @if bottom - top > 0.5 {
            rect.reference x=(place(left)) y=(place(top)) width=(place(right - left)) height=(place(bottom - top)) {}
        }
        @for end in [line.low, line.high].into_iter().flatten() {
            line.reference x1=(place(left)) x2=(place(right)) y1=(place(y(end))) y2=(place(y(end))) {}
        }
    }
}

fn spread(chart: &Chart<'_>, level: &Level, index: usize) -> Markup {
    let count = chart.slots.count();
    let taken = if chart.frame.is_narrow(count) { 1.0 } else { TAKEN };
    let width = (chart.frame.slot(count) * taken).min(WIDEST);
    let left = chart.middle(index) - width / 2.0;
    let y = |value| chart.frame.y(&chart.scale, value);
    let bar = |class: &'static str, (low, high): (f64, f64)| {
        let (top, bottom) = (y(high), y(low));
        html! {
            rect class=(class) x=(format!("{left:.2}")) y=(place(top)) width=(format!("{width:.2}"))
                height=(format!("{:.2}", (bottom - top).max(0.8))) {}
        }
    };
    html! {
        @if level.range.or(level.half).is_some() {
            g {
                title { (level.words) }
                @if let Some(range) = level.range { (bar("range", range)) }
                @if let Some(half) = level.half { (bar("half", half)) }
            }
        }
    }
}

/// The line through the marks of consecutive days. A bound is no point of it.
fn connections(chart: &Chart<'_>, series: &Series) -> Markup {
    let points: Vec<(usize, f64)> = series
        .levels
        .iter()
        .enumerate()
        .filter_map(|(index, level)| {
            let level = level.as_ref().filter(|level| !level.is_bound)?;
            Some((index, level.value?))
        })
        .collect();
    let point = |(index, value): &(usize, f64)| {
        let (x, y) = (chart.middle(*index), chart.frame.y(&chart.scale, *value));
        format!("{} {}", place(x), place(y))
    };
    let runs: Vec<&[(usize, f64)]> = points.chunk_by(|a, b| b.0 == a.0 + 1).collect();
    html! {
        @for run in runs.iter().filter(|run| run.len() > 1) {
            path.line d=(format!("M{}", run.iter().map(point).collect::<Vec<_>>().join("L"))) {}
        }
        @if series.over_gaps {
            @for pair in runs.windows(2) {
                @if let [before, after] = pair
                    && let (Some(last), Some(first)) = (before.last(), after.first()) {
                    path.line.dashed d=(format!("M{}L{}", point(last), point(first))) {}
                }
            }
        }
    }
}

fn mark(chart: &Chart<'_>, series: &Series, level: &Level, index: usize) -> Markup {
    let Some(value) = level.value else { return html! {} };
    let count = chart.slots.count();
    let has_value = |index: Option<usize>| {
        let level = index.and_then(|index| series.levels.get(index)?.as_ref());
        level.is_some_and(|level| level.value.is_some())
    };
    // The marks of a year would cover its line; a day without neighbours has only its mark.
    let on_line = has_value(index.checked_sub(1)) || has_value(Some(index + 1));
    if chart.frame.is_narrow(count) && on_line && level.flag.is_none() && !level.is_bound {
        return html! {};
    }
    let (x, y) = (chart.middle(index), chart.frame.y(&chart.scale, value));
    let size = (chart.frame.slot(count) * 0.4).clamp(MARKS.0, MARKS.1);
    html! {
        g {
            title { (level.words) }
            (series.shape.at(x, y, size, level.is_bound))
        }
    }
}

fn flags(chart: &Chart<'_>, series: &Series) -> Markup {
    let frame = &chart.frame;
    let (least, most) = (frame.left + FLAG_WIDTH / 2.0, frame.width - FLAG_WIDTH / 2.0);
    let mut end = f64::NEG_INFINITY;
    let flags = series.levels.iter().enumerate().filter_map(|(index, level)| {
        let level = level.as_ref()?;
        let (value, flag) = (level.value?, level.flag.as_ref()?);
        let x = chart.middle(index).clamp(least, most);
        if x - FLAG_WIDTH / 2.0 < end {
            return None;
        }
        end = x + FLAG_WIDTH / 2.0;
        let y = frame.y(&chart.scale, value);
        let above = y - frame.top > FLAG_ROOM;
        Some((x, if above { y - MARKS.1 - 4.0 } else { y + MARKS.1 + 11.0 }, flag))
    });
    html! {
        @for (x, y, flag) in flags {
            text.flag x=(place(x)) y=(place(y)) { (flag) }
        }
    }
}

impl Shape {
    /// The mark at a point; hollow for a value that is only a bound.
    pub fn at(self, x: f64, y: f64, size: f64, hollow: bool) -> Markup {
        // A rim would cover a small mark.
        let slight = size < MARKS.1 && !hollow;
        let triangle = |up: f64| {
            let (wide, tall) = (size * 1.15, size * up);
            format!(
                "M{} {}L{} {}L{} {}Z",
                place(x - wide),
                place(y + tall * 0.8),
                place(x + wide),
                place(y + tall * 0.8),
                place(x),
                place(y - tall),
            )
        };
        html! {
            @match self {
                Self::Disc => circle.mark.hollow[hollow].slight[slight] cx=(place(x)) cy=(place(y)) r=(place(size)) {},
                Self::Down => path.mark.hollow[hollow].slight[slight] d=(triangle(-1.0)) {},
                Self::Up => path.mark.hollow[hollow].slight[slight] d=(triangle(1.0)) {},
            }
        }
    }
}

/// Whether any of the days has this kind of remark.
pub fn any(feet: &[Foot], of: fn(&Foot) -> bool) -> bool {
    feet.iter().any(of)
}
