//! Figures of vitals: samples and intervals of sensors.
//!
//! The unit of computation is the local hour. An hour's figures are always computed from all its
//! raw rows, never by adding to the stored figures. A day's figures are the merge of its hours in
//! time order. So a late row, a correction, a deletion and a retry after a crash take one code
//! path. [`mod@scope`] says which hours a changed row touches, and [`mod@recompute`] turns their
//! raw rows into the figures to be written.

pub mod cumulative;
pub mod day;
pub mod discrete;
pub mod explain;
pub mod hour;
pub mod percentiles;
pub mod recompute;
mod rejected;
pub mod scope;

pub use day::DayFigures;
pub use discrete::HoursOfStream;
pub use hour::{HourFigures, HourKey};
pub use recompute::{Outcome, Recomputed, Snapshot, recompute};
pub use scope::Scope;

pub use crate::raw::{Change, Context, RawVital, judge};
