//! Compares stored figures with figures computed from the raw rows.

pub(crate) mod comparison;
pub(crate) mod inventory;
pub(crate) mod session;
