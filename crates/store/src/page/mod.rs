//! What the operator's page reads and changes beside what [`crate::status`] has.
//!
//! Every question is bounded: counts end at a limit and say so, and lists have a maximum.

mod actions;
mod control;
mod presence;
mod reading;
mod server;

pub use actions::{ActionState, FailureFilter, OperatorAction};
pub use control::{PausedKind, Throttled};
pub use presence::{Presence, Worker};
pub use reading::Reading;
pub use server::{FiringAlert, Server};
