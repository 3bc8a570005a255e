//! Charts: inline SVG that needs neither script nor network, and is read without colour, too.

mod columns;
mod fills;
mod frame;
mod legend;
mod levels;
mod scale;
mod slots;

use maud::{Markup, html};

pub use self::columns::{Column, Part, columns};
pub use self::fills::{Fill, patterns};
pub use self::frame::{Frame, place};
pub use self::legend::{Sign, legend};
pub use self::levels::{Level, Line, Series, Shape, levels};
pub use self::scale::Scale;
pub use self::slots::{Anchor, Slots};

/// What a drawing shows beside its marks.
#[derive(Clone, Debug)]
pub struct Chart<'c> {
    /// Unique on the page.
    pub id: String,
    /// What it shows, for those who hear it.
    pub title: String,
    /// What is to be seen on it, for those who hear it.
    pub description: String,
    /// Its measures.
    pub frame: Frame,
    /// The horizontal axis.
    pub slots: &'c Slots,
    /// The vertical axis.
    pub scale: Scale,
    /// What is to be known about each slot.
    pub feet: &'c [Foot],
}

/// What is to be known about a day beside its figures; it stands below the plot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Foot {
    /// The day had not ended.
    pub partial: bool,
    /// Raw rows of the day were rejected.
    pub rejected: bool,
}

/// Above the dates, where the feet stand.
const FEET_BELOW: f64 = 7.0;
/// The lines of the dates.
const LINES_BELOW: [f64; 2] = [23.0, 38.0];

impl Chart<'_> {
    /// The drawing, with the marks on it.
    pub fn draw(&self, marks: &Markup) -> Markup {
        let Frame { width, height, .. } = self.frame;
        let (title_id, text_id) = (format!("{}-title", self.id), format!("{}-text", self.id));
        html! {
            svg viewBox=(format!("0 0 {width} {height}")) role="img"
                aria-labelledby=(title_id) aria-describedby=(text_id) {
                title id=(title_id) { (self.title) }
                desc id=(text_id) { (self.description) }
                (self.values())
                (self.times())
                (marks)
                (self.stand())
            }
        }
    }

    fn values(&self) -> Markup {
        let (left, end) = (place(self.frame.left), place(self.frame.end()));
        html! {
            @for (value, label) in self.scale.ticks() {
                @let y = self.frame.y(&self.scale, value);
                line.grid x1=(left) x2=(end) y1=(place(y)) y2=(place(y)) {}
                text.value x=(place(self.frame.left - 6.0)) y=(place(y + 4.0)) { (label) }
            }
        }
    }

    fn times(&self) -> Markup {
        let (top, floor) = (place(self.frame.top), place(self.frame.floor()));
        html! {
            @for index in self.slots.lines() {
                @let x = place(self.frame.x(index as f64, self.slots.count()));
                line.grid.upright x1=(x) x2=(x) y1=(top) y2=(floor) {}
            }
            line.floor x1=(place(self.frame.left)) x2=(place(self.frame.end())) y1=(floor) y2=(floor) {}
            @for label in self.slots.labels(&self.frame) {
                @let below = LINES_BELOW.get(usize::from(label.line)).copied().unwrap_or_default();
                text.time.middle[label.anchor == Anchor::Middle]
                    x=(place(label.x)) y=(place(self.frame.floor() + below)) { (label.text) }
            }
        }
    }

    fn stand(&self) -> Markup {
        let y = self.frame.floor() + FEET_BELOW;
        html! {
            @for (index, foot) in self.feet.iter().enumerate() {
                @let x = self.middle(index);
                // Where both are to be said, beside each other.
                @let aside = if foot.partial && foot.rejected { 4.0 } else { 0.0 };
                @if foot.partial { (partial(x - aside, y)) }
                @if foot.rejected { (rejected(x + aside, y)) }
            }
        }
    }

    /// The middle of a slot.
    fn middle(&self, index: usize) -> f64 {
        self.frame.x(index as f64 + 0.5, self.slots.count())
    }
}

fn partial(x: f64, y: f64) -> Markup {
    html! { circle.partial cx=(place(x)) cy=(place(y)) r="2.6" {} }
}

fn rejected(x: f64, y: f64) -> Markup {
    let path = format!("M{} {}l5 5m0 -5l-5 5", place(x - 2.5), place(y - 2.5));
    html! { path.rejected d=(path) {} }
}
