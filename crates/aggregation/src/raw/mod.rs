//! Raw rows: changed rows, the check whether a row counts, and the other inputs of figures.

mod change;
mod context;
mod judge;
mod local_date;
mod new_row;
mod row;
mod source;

pub use change::{Change, Span, union};
pub use context::Context;
pub(crate) use judge::{Judged, Judgement, judge_all, judge_each, leave_out_resent};
pub use judge::{Sample, judge};
pub(crate) use local_date::{LocalDate, LocalDates, SharedZone, touched_near};
pub use new_row::{NewLab, NewVital};
pub use row::{LONGEST_INTERVAL_US, RawVital};
pub use source::fold_source;
