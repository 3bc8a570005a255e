//! The processing of the queue, batch after batch, for the service and for `run-once`.
//!
//! [`batch`] runs one batch, [`drain`] repeats it, [`walk`] processes its groups.

pub mod assumed_zone;
pub mod batch;
pub mod batch_sizer;
mod claimed_groups;
pub mod context;
pub mod crash_loop;
pub mod current;
pub mod drain;
pub mod group;
mod lease;
pub mod long_groups;
mod portions;
pub mod summary;
mod walk;
