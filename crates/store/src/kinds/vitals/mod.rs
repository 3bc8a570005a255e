//! Raw vitals and their hourly and daily figures.

mod read;
mod write;
