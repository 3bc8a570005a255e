//! Helpers that several tests of vitals share.

#![allow(dead_code, reason = "each of the tests uses its own part")]

pub(crate) mod rows;
