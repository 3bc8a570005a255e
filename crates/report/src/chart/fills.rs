//! Fills that differ by their pattern, also in black and white.

use maud::{Markup, html};

/// The fill of an area with one meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Its name, and the name of its colour in the style sheet.
    pub name: &'static str,
    /// The pattern that distinguishes it without colour.
    texture: Texture,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Texture {
    Plain,
    Diagonal,
    Dots,
    Cross,
    Level,
}

macro_rules! fills {
    ($($(#[$meta:meta])* $constant:ident = $name:literal, $texture:ident;)*) => {
        impl Fill {
            $($(#[$meta])* pub const $constant: Self =
                Self { name: $name, texture: Texture::$texture };)*

            /// All fills.
            pub const ALL: &'static [Self] = &[$(Self::$constant),*];
        }
    };
}

fills! {
    /// A total without parts.
    TOTAL = "total", Plain;
    /// Glucose below 54 mg/dL.
    VERY_LOW = "very-low", Plain;
    /// Glucose from 54 to 69 mg/dL.
    LOW = "low", Diagonal;
    /// Glucose from 70 to 180 mg/dL.
    IN_RANGE = "in-range", Plain;
    /// Glucose from 181 to 250 mg/dL.
    HIGH = "high", Dots;
    /// Glucose above 250 mg/dL.
    VERY_HIGH = "very-high", Cross;
    /// Deep sleep.
    DEEP = "deep", Plain;
    /// Core sleep.
    CORE = "core", Diagonal;
    /// REM sleep.
    REM = "rem", Dots;
    /// Asleep, stage unknown.
    ASLEEP = "asleep", Plain;
    /// Awake in bed.
    AWAKE = "awake", Plain;
    /// The first meal.
    BREAKFAST = "breakfast", Level;
    /// The second meal.
    LUNCH = "lunch", Plain;
    /// The third meal.
    DINNER = "dinner", Diagonal;
    /// Between meals.
    SNACK = "snack", Dots;
    /// Other food.
    OTHER = "other", Plain;
    /// Energy from carbohydrate.
    CARBOHYDRATE = "carbohydrate", Plain;
    /// Energy from protein.
    PROTEIN = "protein", Diagonal;
    /// Energy from fat.
    FAT = "fat", Plain;
    /// Energy from alcohol.
    ALCOHOL = "alcohol", Cross;
}

impl Fill {
    /// The value of an element's attribute `fill`.
    pub fn reference(self) -> String {
        format!("url(#fill-{})", self.name)
    }
}

/// The patterns as SVG, once per page.
pub fn patterns() -> Markup {
    html! {
        svg.patterns width="0" height="0" aria-hidden="true" focusable="false" {
            defs {
                @for fill in Fill::ALL {
                    pattern id=(format!("fill-{}", fill.name)) class=(format!("fill-{}", fill.name))
                        width="6" height="6" patternUnits="userSpaceOnUse" {
                        rect.ground width="6" height="6" {}
                        (texture(fill.texture))
                    }
                }
            }
        }
    }
}

fn texture(texture: Texture) -> Markup {
    let path = match texture {
        Texture::Plain => return html! {},
        Texture::Dots => return html! { circle.dot cx="3" cy="3" r="1.4" {} },
        Texture::Diagonal => "M-1 1l2 -2M0 6l6 -6M5 7l2 -2",
        Texture::Cross => "M0 0l6 6M0 6l6 -6",
        Texture::Level => "M0 1.5h6M0 4.5h6",
    };
    html! { path.hatch d=(path) {} }
}
