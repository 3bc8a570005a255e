//! Statements: text that is there before any data, and the times and texts that they carry.

mod autocommit;
pub(crate) mod cte;
pub(crate) mod file;
pub(crate) mod raw_text;
pub(crate) mod statement;
pub(crate) mod time;
pub(crate) mod timeout;
