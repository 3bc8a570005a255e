//! Limits that sections of several crates have.

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
    /// PostgreSQL counts time-outs in whole milliseconds and takes 0 for "never", which would let one
    /// statement hold a connection for ever. More than an hour was meant to be milliseconds.
    pub timeout: seconds<Duration> = 0.001..=3_600.0;

    /// One is the minimum that does anything; a row that failed a hundred times will not succeed.
    pub attempts: integer<i32> = 1..=100;

    /// Zero never grows, so that a failing row would be tried again at once; a row that is tried less
    /// than once a day is as good as dead.
    pub backoff: seconds<Duration> = 0.1..=86_400.0;

    /// 0 is none, not "any".
    pub port: integer<u16> = 0..=65_535;
}
