//! Alerts: messages by mail or webhook when a rule fires, and when it resolves.
//!
//! - `config`: the settings of rules and channels;
//! - `rule`: the rules and their texts;
//! - [`condition`]: when a rule fires and resolves, as a function of observations and time;
//! - [`observation`]: the observations of the service in the units of the rules;
//! - [`channel`], `mail`, `webhook`: one message to one server, in bounded time;
//! - `signed`: a signed POST, for the feed of changed days;
//! - [`outbox`]: messages in the database, until they are delivered;
//! - [`drift`]: the alert of `worker verify`.
//!
//! If a message cannot be sent, the failure is logged; the caller gets no error.

pub mod channel;
pub mod condition;
mod config;
mod delivery;
pub mod drift;
mod mail;
mod message;
mod metrics;
pub mod observation;
pub mod outbox;
mod post_url;
mod rule;
mod signed;
mod webhook;

pub use config::{Mail, MailTls, Rules, Webhook};
pub use delivery::{Failure, Sent};
pub use message::{Message, new_alert, own_clock};
pub use metrics::{describe, expect_deliveries, show_alert};
pub use post_url::PostUrl;
pub use rule::Rule;
pub use signed::post_signed;
