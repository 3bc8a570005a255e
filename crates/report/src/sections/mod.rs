//! The sections of the page. A section without content is omitted.

pub mod blood_pressure;
pub mod glucose;
pub mod labs;
pub mod nutrition;
pub mod quality;
pub mod sleep;
pub mod vital;
pub mod vitals;

use maud::{Markup, html};

/// A section with its heading.
fn section(id: &str, heading: &str, content: &Markup) -> Markup {
    html! {
        section id=(id) aria-labelledby=(format!("{id}-heading")) {
            h2 id=(format!("{id}-heading")) { (heading) }
            (content)
        }
    }
}
