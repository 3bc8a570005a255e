//! Statements of static text, and the types of times and texts in their parameters and columns.

mod autocommit;
pub(crate) mod cte;
pub(crate) mod figure_table;
pub(crate) mod file;
pub(crate) mod raw_text;
pub(crate) mod statement;
pub(crate) mod time;
pub(crate) mod timeout;
pub(crate) mod user_key;
