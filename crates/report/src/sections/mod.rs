//! The sections of the page. A section without content is omitted.

pub mod blood_pressure;
pub mod glucose;
pub mod labs;
pub mod nutrition;
pub mod profile;
pub mod quality;
pub mod sleep;
pub mod summary;
pub mod vital;
pub mod vitals;

mod gauge;
mod reported;

use maud::{Markup, html};

/// A section with its heading.
pub struct Section {
    /// Its name in links.
    pub id: &'static str,
    /// Its heading.
    pub heading: &'static str,
    content: Markup,
}

impl Section {
    /// The section on the page.
    pub fn draw(&self) -> Markup {
        html! {
            section id=(self.id) aria-labelledby=(format!("{}-heading", self.id)) {
                h2 id=(format!("{}-heading", self.id)) { (self.heading) }
                (self.content)
            }
        }
    }
}

fn section(id: &'static str, heading: &'static str, content: Markup) -> Section {
    Section { id, heading, content }
}
