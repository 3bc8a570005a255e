//! The legend of a chart.

use maud::{Markup, html};

use super::fills::Fill;
use super::levels::any;
use super::{Foot, Shape, partial, rejected};

/// A sign to explain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sign {
    /// An area.
    Fill(Fill),
    /// A column's frame.
    Frame,
    /// The range from minimum to maximum.
    Range,
    /// The middle half of the values.
    Half,
    /// A mark on its line.
    Mark(Shape),
    /// A mark that is only a bound.
    Bound,
    /// A range or value to compare with.
    Reference,
    /// A value to compare with.
    Line,
    /// A median on its line.
    Median,
    /// A day that had not ended.
    Partial,
    /// A day with rejected rows.
    Rejected,
}

/// The legend for the signs of a chart, and for those of its days.
pub fn legend(signs: &[(Sign, &str)], feet: &[Foot]) -> Markup {
    let mut signs = signs.to_vec();
    if any(feet, |foot| foot.partial) {
        signs.push((Sign::Partial, "day had not ended when it was computed"));
    }
    if any(feet, |foot| foot.rejected) {
        signs.push((Sign::Rejected, "some rows of the day were rejected"));
    }
    html! {
        ul.legend {
            @for (sign, meaning) in signs {
                li {
                    svg viewBox="0 0 24 14" aria-hidden="true" focusable="false" { (sign.draw()) }
                    (meaning)
                }
            }
        }
    }
}

impl Sign {
    fn draw(self) -> Markup {
        html! {
            @match self {
                Self::Fill(fill) => rect.part x="2" y="1" width="20" height="12" fill=(fill.reference()) {},
                Self::Frame => rect.frame x="2" y="1" width="20" height="12" {},
                Self::Range => rect.range x="9" y="0" width="6" height="14" {},
                Self::Half => rect.half x="9" y="2" width="6" height="10" {},
                Self::Mark(shape) => {
                    path.line d="M1 7H23" {}
                    (shape.at(12.0, 7.0, 3.6, false))
                },
                Self::Bound => (Shape::Disc.at(12.0, 7.0, 3.6, true)),
                Self::Reference => {
                    rect.reference x="2" y="2" width="20" height="10" {}
                    line.reference x1="2" x2="22" y1="2" y2="2" {}
                    line.reference x1="2" x2="22" y1="12" y2="12" {}
                },
                Self::Line => line.reference x1="1" x2="23" y1="7" y2="7" {},
                Self::Median => path.line.median d="M1 7H23" {},
                Self::Partial => (partial(12.0, 7.0)),
                Self::Rejected => (rejected(12.0, 7.0)),
            }
        }
    }
}
