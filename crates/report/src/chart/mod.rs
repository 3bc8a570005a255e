//! Charts: inline SVG without script or network, readable without colour.

mod columns;
mod fills;
mod frame;
mod legend;
mod levels;
mod pairs;
mod profile;
mod scale;
mod slots;

use maud::{Markup, html};

pub use self::columns::{Column, Part, columns};
pub use self::fills::{Fill, patterns};
pub use self::frame::{Frame, place};
pub use self::legend::{Sign, legend};
pub use self::levels::{Level, Line, Series, Shape, levels};
pub use self::pairs::{Pair, pairs};
pub use self::profile::{Moment, profile};
pub use self::scale::Scale;
pub use self::slots::{Anchor, Slots};

/// The parts of a drawing other than its marks.
#[derive(Clone, Debug)]
pub struct Chart<'c> {
    /// Unique on the page.
    pub id: String,
    /// The title for screen readers.
    pub title: String,
    /// The description for screen readers.
    pub description: String,
    /// Its measures.
    pub frame: Frame,
    /// The horizontal axis.
    pub slots: &'c Slots,
    /// The vertical axis.
    pub scale: Scale,
    /// The remarks for each slot.
    pub feet: &'c [Foot],
}

/// The remarks about a day, drawn below the plot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Foot {
    /// The day had not ended.
    pub partial: bool,
    /// Raw rows of the day were rejected.
    pub rejected: bool,
}

/// The distance of the remarks from the plot, above the dates.
const FEET_BELOW: f64 = 7.0;
/// The distances of the lines of dates from the plot.
const LINES_BELOW: [f64; 2] = [23.0, 38.0];

impl Chart<'_> {
    /// The same chart for a narrow screen.
    #[must_use]
    pub fn narrow(&self) -> Self {
        Self { id: format!("{}-narrow", self.id), frame: Frame::NARROW, ..self.clone() }
    }

    /// The whole drawing, with these marks.
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
                // Two signs are drawn beside each other.
                @let aside = if foot.partial && foot.rejected { 4.0 } else { 0.0 };
                @if foot.partial { (partial(x - aside, y)) }
                @if foot.rejected { (rejected(x + aside, y)) }
            }
        }
    }

    /// The vertical coordinate of a value.
    fn y(&self, value: f64) -> f64 {
        self.frame.y(&self.scale, value)
    }

    /// The horizontal centre of a slot.
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

#[cfg(test)]
mod tests {
    use chrono::{Days, NaiveDate};

    use super::*;

    fn days(count: u64) -> Slots {
        let from = NaiveDate::default();
        Slots::days(from, from + Days::new(count - 1))
    }

    fn chart<'c>(slots: &'c Slots, feet: &'c [Foot]) -> Chart<'c> {
        Chart {
            id: "chart".to_owned(),
            title: "a < b".to_owned(),
            description: String::new(),
            frame: Frame::WIDE,
            slots,
            scale: Scale::from_zero(10.0),
            feet,
        }
    }

    fn amount(value: f64) -> Option<Column> {
        let parts = vec![Part { fill: Fill::TOTAL, value }];
        Some(Column { parts, frame: None, words: String::new() })
    }

    fn at(value: f64) -> Option<Level> {
        Some(Level { value: Some(value), ..Level::default() })
    }

    #[test]
    fn nothing_is_a_line_and_no_data_is_a_gap() {
        let slots = days(3);
        let drawn = columns(&chart(&slots, &[]), &[amount(0.0), None, amount(10.0)]).into_string();
        assert_eq!(drawn.matches("<rect").count(), 2, "{drawn}");
        assert!(
            drawn.contains("height=\"1.00\"") && drawn.contains("height=\"186.00\""),
            "{drawn}"
        );
        assert!(drawn.contains("<title id=\"chart-title\">a &lt; b</title>"), "{drawn}");
    }

    #[test]
    fn parts_stand_upon_each_other_and_their_frame_around_them() {
        let slots = days(1);
        let parts = [Fill::DEEP, Fill::CORE].map(|fill| Part { fill, value: 2.5 }).to_vec();
        let column = Column { parts, frame: Some(10.0), words: String::new() };
        assert_eq!(column.height(), 10.0);
        let drawn = columns(&chart(&slots, &[]), &[Some(column)]).into_string();
        for rect in ["y=\"149.5\"", "y=\"103\"", "class=\"frame\"", "y=\"10\""] {
            assert!(drawn.contains(rect), "{rect} in {drawn}");
        }
    }

    #[test]
    fn a_line_ends_at_a_gap_and_leads_over_it_by_dashes_only_where_asked_to() {
        let slots = days(6);
        let values = vec![at(1.0), at(2.0), None, at(3.0), at(4.0), None];
        let drawn = |over_gaps| {
            let series = Series { shape: Shape::Disc, levels: values.clone(), over_gaps };
            levels(&chart(&slots, &[]), &[], &[series]).into_string()
        };
        let count = |drawn: &str, what: &str| drawn.matches(what).count();
        let apart = drawn(false);
        assert_eq!(
            (count(&apart, "class=\"line\""), count(&apart, "class=\"line dashed\"")),
            (2, 0)
        );
        assert_eq!(count(&drawn(true), "class=\"line dashed\""), 1);
        assert_eq!(count(&apart, "<circle class=\"mark"), 4);
    }

    #[test]
    fn a_bound_is_hollow_and_a_flag_stays_on_the_drawing() {
        let slots = days(1);
        let flag = Some("H".to_owned());
        let level = Level { value: Some(10.0), is_bound: true, flag, ..Level::default() };
        let series = Series { shape: Shape::Disc, levels: vec![Some(level)], over_gaps: false };
        let drawn = levels(&chart(&slots, &[]), &[], &[series]).into_string();
        assert!(drawn.contains("mark hollow"), "{drawn}");
        assert!(drawn.contains("class=\"flag\" x=\"501\" y=\"24.6\""), "{drawn}");
    }

    #[test]
    fn what_is_to_be_known_of_a_day_stands_below_it_and_in_the_legend() {
        let slots = days(2);
        let feet = [Foot { partial: true, rejected: true }, Foot::default()];
        let drawn = columns(&chart(&slots, &feet), &[None, None]).into_string();
        assert_eq!(drawn.matches("class=\"partial\"").count(), 1);
        assert_eq!(drawn.matches("class=\"rejected\"").count(), 1);
        let legend = legend(&[], &feet).into_string();
        assert!(legend.contains("had not ended") && legend.contains("rejected"), "{legend}");
    }

    #[test]
    fn every_pattern_has_a_colour() {
        let style = include_str!("../style.css");
        for fill in Fill::ALL {
            assert!(style.contains(&format!(".fill-{} {{ --color", fill.name)), "{fill:?}");
        }
    }
}
