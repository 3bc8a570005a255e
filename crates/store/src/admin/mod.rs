//! Code for commands other than processing: migrations, import, status, examination.

pub(crate) mod adopt;
pub(crate) mod budget;
pub(crate) mod citus;
pub(crate) mod control;
pub(crate) mod directory;
pub(crate) mod examine;
pub(crate) mod explain;
pub(crate) mod freeze;
pub(crate) mod import;
pub(crate) mod migrate;
mod migrations;
pub(crate) mod raw_rows;
mod schema_sql;
pub(crate) mod schema_state;
pub(crate) mod sessions;
pub(crate) mod status;
pub(crate) mod trial;
mod user_ids;
