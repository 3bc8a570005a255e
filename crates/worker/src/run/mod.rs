//! The work: batch after batch out of the queue, for the service and for `run-once`.
//!
//! [`batch`] tells the story of one batch, [`drain`] repeats it, [`walk`] does its groups.

pub mod batch;
pub mod batch_sizer;
pub mod crash_loop;
pub mod drain;
pub mod group;
mod lease;
pub mod long_groups;
mod walk;
