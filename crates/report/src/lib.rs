//! Some days of one user as a page of HTML that needs no other file.

mod chart;
mod page;
mod sections;
mod sheet;
mod steps;
mod text;
mod units;

pub use page::{nothing, page};
pub use sheet::all_days;
pub use units::{GlucoseUnit, UnitChoice, UnitSystem};
