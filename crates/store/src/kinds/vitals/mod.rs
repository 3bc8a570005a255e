//! Raw vitals and their hourly and daily figures.

mod read;
mod write;

pub(crate) use write::{days, hours};
