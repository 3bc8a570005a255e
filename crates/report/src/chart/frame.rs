//! The measures of a drawing. All drawings of one kind share them, so that days are aligned.

use super::scale::Scale;

/// The place of the plot in the drawing, in its own units: about pixels on a screen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Width of the drawing.
    pub width: f64,
    /// Height of the drawing.
    pub height: f64,
    /// Space left of the plot, for the numbers of the vertical axis.
    pub left: f64,
    /// Space right of the plot.
    pub right: f64,
    /// Space above the plot.
    pub top: f64,
    /// Space below the plot, for marks and dates.
    pub bottom: f64,
}

/// The width of a character in wide typefaces.
pub const CHARACTER: f64 = 7.0;

/// Narrower slots are drawn without gaps or marks, so that a year looks like an area, not like a
/// fence.
const NARROW: f64 = 5.0;

impl Frame {
    /// A drawing of the full page width.
    pub const WIDE: Self =
        Self { width: 960.0, height: 240.0, left: 52.0, right: 10.0, top: 10.0, bottom: 44.0 };

    /// A drawing of half the page width.
    pub const SMALL: Self =
        Self { width: 468.0, height: 170.0, left: 52.0, right: 10.0, top: 10.0, bottom: 44.0 };

    /// A drawing for a narrow screen, such as that of a telephone, on which it is not scaled down.
    pub const NARROW: Self =
        Self { width: 336.0, height: 190.0, left: 44.0, right: 6.0, top: 10.0, bottom: 44.0 };

    /// Whether it has the full page width.
    pub fn is_wide(&self) -> bool {
        self.width > Self::SMALL.width
    }

    /// The width of the plot.
    pub const fn plot_width(&self) -> f64 {
        self.width - self.left - self.right
    }

    /// The lower edge of the plot.
    pub const fn floor(&self) -> f64 {
        self.height - self.bottom
    }

    /// The right edge of the plot.
    pub const fn end(&self) -> f64 {
        self.width - self.right
    }

    /// The width of a slot if there are `count` slots.
    pub fn slot(&self, count: usize) -> f64 {
        self.plot_width() / count.max(1) as f64
    }

    /// Whether `count` slots are too narrow for gaps and marks.
    pub fn is_narrow(&self, count: usize) -> bool {
        self.slot(count) < NARROW
    }

    /// The horizontal coordinate of a position among `count` slots: 0 is the left edge of the
    /// first.
    pub fn x(&self, at: f64, count: usize) -> f64 {
        self.left + at * self.slot(count)
    }

    /// The vertical coordinate of a value.
    pub fn y(&self, scale: &Scale, value: f64) -> f64 {
        self.floor() - scale.share(value) * (self.floor() - self.top)
    }
}

/// A coordinate, rounded to a tenth.
pub fn place(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), ToOwned::to_owned)
}
