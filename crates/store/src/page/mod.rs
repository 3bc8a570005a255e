//! The reads and changes of the operator's page beside those of [`crate::admin::status`].
//!
//! Every question is bounded: counts end at a limit and say so, and lists have a maximum.

mod actions;
mod presence;
mod reading;
mod server;

pub use actions::{ActionState, FailureFilter, OperatorAction};
pub use presence::{Batches, Presence, RunningBatch, Worker};
pub use reading::Reading;
pub use server::{FiringAlert, Server};
