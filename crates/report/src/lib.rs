//! Some days of one user as a page of HTML that needs no other file.

mod chart;
mod page;
mod sections;
mod sheet;
mod text;

pub use page::{nothing, page};
pub use sheet::all_days;
