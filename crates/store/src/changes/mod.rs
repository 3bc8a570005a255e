//! The feed of changed days: one row for each transaction, user, date and kind whose figures have changed.
//!
//! - `record`: a group writes its rows in its own transaction;
//! - `feed`: reading by a cursor, epochs, deleting what is old;
//! - `webhook`: how far the webhook has come, and which worker sends.

mod feed;
pub(crate) mod record;
mod webhook;

pub use feed::FigureChange;
pub use webhook::{TakenChanges, UnsentChanges};
