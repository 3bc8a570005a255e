//! Limits that settings of several crates share.

use std::time::Duration;

/// Defines functions for `#[serde(deserialize_with = …)]` that read a value within limits.
#[macro_export]
macro_rules! limits {
    ($($(#[$doc:meta])* $vis:vis $name:ident: $kind:ident<$type:ty> = $limits:expr;)*) => {$(
        $(#[$doc])*
        $vis fn $name<'de, D: serde::Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
            $crate::$kind(from, $limits)
        }
    )*};
}

limits! {
    /// PostgreSQL counts time-outs in whole milliseconds, and 0 means no limit: one statement could
    /// hold a connection for ever. A value above an hour was probably meant as milliseconds.
    pub timeout: seconds<Duration> = 0.001..=3_600.0;

    /// The minimum is one attempt; a row that failed a hundred times will not succeed.
    pub attempts: integer<i32> = 1..=100;

    /// A delay of zero never grows, so a failing row would be retried immediately. A row that is
    /// retried less than once a day is practically dead.
    pub backoff: seconds<Duration> = 0.1..=86_400.0;

    /// 0 means that no port is set.
    pub port: integer<u16> = 0..=65_535;
}
