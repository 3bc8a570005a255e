//! Comparing stored figures with what the raw rows say.

pub(crate) mod comparison;
pub(crate) mod inventory;
pub(crate) mod tables;
