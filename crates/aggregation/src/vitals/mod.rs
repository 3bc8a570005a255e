//! Figures of vitals: samples and intervals of sensors.
//!
//! The unit of computation is the local hour. An hour's figures are always computed from all
//! its raw rows, never by adding to what stood there; a day's figures are the merge of its
//! hours in time order. So a late row, a correction, a deletion and a repeat after a crash
//! are one and the same: [`mod@scope`] says which hours a changed row touches, [`mod@recompute`]
//! turns their raw rows into the figures to be written.

pub mod cumulative;
pub mod day;
pub mod discrete;
pub mod explain;
pub mod hour;
pub mod percentiles;
pub mod recompute;
pub mod sample;
pub mod scope;

pub use day::DayFigures;
pub use hour::{HourFigures, HourKey};
pub use recompute::{Context, Outcome, Recomputed, Snapshot, recompute};
pub use sample::{RawVital, judge};
pub use scope::{Change, Scope};
