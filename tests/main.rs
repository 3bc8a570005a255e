//! The worker as a user meets it: the program, run against real PostgreSQL.
//!
//! All tests share one private server, each has a database of its own, copied from one that
//! `worker migrate` made. Races are forced by locks that a test holds, never by sleeping.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods
)]

mod support;

mod adoption;
mod alerts;
mod any_order;
mod batches;
mod beside_the_api;
mod budget;
mod cases;
mod catalogue;
mod changes;
mod chaos;
mod cli;
mod clients;
mod configuration;
mod crashes;
mod demo;
mod demo_figures;
mod doctor;
mod documents;
mod encodings;
mod faults;
mod figures;
mod frozen;
mod future;
mod hostile;
mod hostile_days;
mod import;
mod libpq;
mod long_texts;
mod migrations;
mod no_database;
mod packaging;
mod page;
mod partitions;
mod pooler;
mod queueing;
mod replication;
mod report;
mod restore;
mod roles;
mod row_security;
mod run_once;
mod schemas;
mod secrets;
mod service;
mod status;
mod structure;
mod targets;
mod terminal;
mod tls;
mod triggers;
mod user_ids;
mod verify;
