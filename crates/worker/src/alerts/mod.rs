//! Alerts: people are told by mail or by a webhook that something is not as it should be, and that it
//! is over.
//!
//! - [`rule`]: what there is to tell of;
//! - [`condition`]: when a rule fires, and when it is over, as a function of what is seen and of time;
//! - [`observation`]: what the service has seen, as amounts of the rules;
//! - [`channel`], [`mail`], [`webhook`]: one message to one server, in bounded time;
//! - [`outbox`]: messages in the database, until they are delivered;
//! - [`drift`]: what `worker verify` has to tell.
//!
//! Nothing here is an error of whoever calls it: what cannot be sent is a fact for the log.

pub mod channel;
pub mod condition;
pub mod drift;
mod mail;
mod message;
pub mod observation;
pub mod outbox;
mod rule;
mod webhook;

pub use mail::MailTls;
pub use message::{Message, new_alert};
pub use rule::Rule;
pub use webhook::PostUrl;
