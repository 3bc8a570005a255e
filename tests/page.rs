//! The operator's page, as a browser, a script and an attacker meet it.

mod actions;
mod api;
mod attacks;
mod browser;
pub mod client;
mod driver;
mod outage;
mod pages;
mod style;
mod targets;
mod user_day;

use crate::support::Database;
use crate::support::running::{PATIENT, Running};

pub const VIEWER: &str = "viewer-token-of-the-tests";
pub const OPERATOR: &str = "operator-token-of-the-tests";

/// A service with a page, both tokens and no work that waits. It waits as long as a test holds a lock.
pub async fn served(db: &Database, port: &str) -> Running {
    let settings = [
        ("WORKER__HTTP__PORT", port),
        ("WORKER__HTTP__TOKEN", VIEWER),
        ("WORKER__HTTP__OPERATOR_TOKEN", OPERATOR),
    ];
    let service = Running::service(db.worker(), &[&PATIENT[..], &settings].concat());
    service.logs("database_ready").await;
    service
}
