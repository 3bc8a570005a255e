//! A POST that its receiver can check: it has the time, and a signature over time and body.

use std::fmt::Write;

use config_values::Secret;
use ring::hmac;

use crate::config::Webhook;
use crate::delivery::{Failure, in_own_thread};
use crate::message::own_clock;
use crate::webhook;

/// The header with the time of the attempt, in seconds since 1970.
const TIMESTAMP: &str = "dayfold-timestamp";

/// The header with the signature.
const SIGNATURE: &str = "dayfold-signature";

/// Posts a body of JSON, signed with `key`.
///
/// # Errors
/// Every outcome other than an answer with a status of success. If only the answer was lost, the receiver may have the
/// message.
pub async fn post_signed(webhook: &Webhook, key: &Secret, body: String) -> Result<(), Failure> {
    let time = (own_clock().0 / 1_000_000).to_string();
    let signature = format!("sha256={}", signature(key.expose(), &time, &body));
    let webhook = webhook.clone();
    let longest = webhook.longest();
    let sent = in_own_thread(longest, async move || {
        let headers = [(TIMESTAMP, time), (SIGNATURE, signature)];
        webhook::send_body(&webhook, body, &headers).await
    });
    sent.await.map(|_| ())
}

/// The HMAC-SHA-256 of the time, a dot and the body, in hexadecimal digits.
fn signature(key: &str, time: &str, body: &str) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()));
    context.update(time.as_bytes());
    context.update(b".");
    context.update(body.as_bytes());
    let mut text = String::new();
    for byte in context.sign().as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::signature;

    /// `printf '1700000000.{}' | openssl dgst -sha256 -hmac a-key-of-the-tests`
    #[test]
    fn the_signature_is_that_of_openssl() {
        let expected = "a8c8266ba6163279914e8b01b89ded40b04da1ecc1abcc3f06b27511a594ade8";
        assert_eq!(signature("a-key-of-the-tests", "1700000000", "{}"), expected);
    }
}
