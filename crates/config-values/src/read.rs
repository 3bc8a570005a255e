//! Functions for `#[serde(deserialize_with = …)]`.
//!
//! Each refuses a value with the end of a sentence, such as `must be between 1 and 100`. It never
//! quotes the value, since a value in the wrong place may be a password.

use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

/// Reads a text by `parse`, or refuses it with `must`.
pub fn text<'de, D: Deserializer<'de>, T>(
    from: D,
    must: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).ok_or_else(|| Error::custom(format_args!("must {must}")))
}

/// Reads a text that is not blank.
pub fn filled<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    text(from, "not be empty", |text| (!text.trim().is_empty()).then(|| text.to_owned()))
}

/// Reads a path; an empty text is `None`.
pub fn path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(from)?;
    Ok(Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty()))
}

/// Reads a whole number within limits.
pub fn integer<'de, D, T>(from: D, limits: RangeInclusive<T>) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Display + PartialOrd + TryFrom<i64>,
{
    let read = T::try_from(i64::deserialize(from)?).ok();
    read.filter(|number| limits.contains(number)).ok_or_else(|| beyond(&limits))
}

/// Reads a number within limits.
pub fn number<'de, D: Deserializer<'de>>(
    from: D,
    limits: RangeInclusive<f64>,
) -> Result<f64, D::Error> {
    let number = f64::deserialize(from)?;
    if limits.contains(&number) { Ok(number) } else { Err(beyond(&limits)) }
}

/// Reads a duration in seconds within limits.
pub fn seconds<'de, D: Deserializer<'de>>(
    from: D,
    limits: RangeInclusive<f64>,
) -> Result<Duration, D::Error> {
    let seconds = number(from, limits.clone())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| beyond(&limits))
}

fn beyond<T: Display, E: Error>(limits: &RangeInclusive<T>) -> E {
    E::custom(format_args!("must be between {} and {}", limits.start(), limits.end()))
}

/// The name of a host or an IP address. Any other text, such as a URL with a password, is refused,
/// since the log shows hosts.
pub fn host(text: &str) -> Option<String> {
    let text = text.trim();
    let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let known = text.chars().all(of_name) || text.parse::<IpAddr>().is_ok();
    known.then(|| text.to_owned())
}
