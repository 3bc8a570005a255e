//! The measures of a drawing, the same for all of its kind, so that days stand above each other.

use super::scale::Scale;

/// Where the plot lies in the drawing, in its own units: about pixels on a screen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Of the drawing.
    pub width: f64,
    /// Of the drawing.
    pub height: f64,
    /// Beside the plot, for the numbers of the vertical axis.
    pub left: f64,
    /// Beside the plot.
    pub right: f64,
    /// Above the plot.
    pub top: f64,
    /// Below the plot, for marks and dates.
    pub bottom: f64,
}

/// The width of a character of the drawings' letters, in wide typefaces.
pub const CHARACTER: f64 = 7.0;

/// Slots so narrow are drawn without anything between them: a year is an area, not a fence.
const NARROW: f64 = 5.0;

impl Frame {
    /// Across the page.
    pub const WIDE: Self =
        Self { width: 960.0, height: 240.0, left: 52.0, right: 10.0, top: 10.0, bottom: 44.0 };

    /// Two beside each other.
    pub const SMALL: Self =
        Self { width: 468.0, height: 170.0, left: 52.0, right: 10.0, top: 10.0, bottom: 44.0 };

    /// Whether it goes across the page.
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

    /// The width of one of so many slots.
    pub fn slot(&self, count: usize) -> f64 {
        self.plot_width() / count.max(1) as f64
    }

    /// Whether so many slots are too narrow for what stands between and upon them.
    pub fn is_narrow(&self, count: usize) -> bool {
        self.slot(count) < NARROW
    }

    /// The horizontal place of a point between two of so many slots: 0 is the left edge of the first.
    pub fn x(&self, at: f64, count: usize) -> f64 {
        self.left + at * self.slot(count)
    }

    /// The vertical place of a value.
    pub fn y(&self, scale: &Scale, value: f64) -> f64 {
        self.floor() - scale.share(value) * (self.floor() - self.top)
    }
}

/// A coordinate, to a tenth.
pub fn place(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), ToOwned::to_owned)
}
