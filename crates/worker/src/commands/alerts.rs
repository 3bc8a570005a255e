//! `worker alerts`

use std::path::Path;
use std::time::Instant;

use alerts::channel::Channel;
use alerts::{Failure, Message, Sent};
use anyhow::bail;
use serde_json::{Value, json};

use crate::cli::Alerts;
use crate::exit::{self, Exit};
use crate::run::summary::milliseconds;
use crate::{output, setup, target};

/// Runs a command about alerts.
///
/// # Errors
/// If the configuration is invalid, or names no channel.
pub async fn execute(config: Option<&Path>, command: &Alerts) -> anyhow::Result<Exit> {
    let Alerts::Test(arguments) = command;
    let config = setup::configuration(config)?.config;
    let channels = Channel::all(&config.mail, &config.webhook);
    if channels.is_empty() {
        bail!(
            "no channel for alerts is configured: set mail.host, mail.from and mail.to, or webhook.url"
        );
    }
    let worker = setup::identity(&config.session.application_name);
    let message = Message::test(&worker, target::name().as_deref());
    let (mut tried, mut delivered) = (Vec::new(), true);
    for channel in &channels {
        let began = Instant::now();
        let sent = channel.send(&message).await;
        let took_ms = milliseconds(began.elapsed());
        if !arguments.json {
            output::print(&in_words(channel, &sent, took_ms));
        }
        delivered &= matches!(sent, Ok(Sent { refused: None }));
        tried.push(as_json(channel, &sent, took_ms));
    }
    if arguments.json {
        output::print_json(&json!({ "ok": delivered, "channels": tried }));
    }
    Ok(if delivered { exit::DONE } else { exit::COULD_NOT })
}

fn in_words(channel: &Channel, sent: &Result<Sent, Failure>, took_ms: f64) -> String {
    let (name, address) = (channel.name(), channel.address());
    match sent {
        Ok(Sent { refused: None }) => format!("{name}: delivered to {address} in {took_ms:.0} ms"),
        Ok(Sent { refused: Some(failure) }) => {
            format!("{name}: delivered to {address}, but not to all recipients: {failure}")
        }
        Err(failure) => format!("{name}: not delivered to {address}: {failure}"),
    }
}

fn as_json(channel: &Channel, sent: &Result<Sent, Failure>, took_ms: f64) -> Value {
    let error = match sent {
        Ok(sent) => sent.refused.as_ref(),
        Err(failure) => Some(failure),
    };
    json!({
        "channel": channel.name(),
        "address": channel.address(),
        "delivered": sent.is_ok(),
        "error": error.map(ToString::to_string),
        "duration_ms": took_ms,
    })
}
