//! Reads the values of arguments.

use std::ops::RangeInclusive;

use aggregation::local_time::Zone;
use aggregation::{Kind, UserIdType};
use chrono::{Datelike, NaiveDate};

pub(super) fn parse_kind(text: &str) -> Result<Kind, String> {
    text.parse().map_err(|error: aggregation::kind::UnknownKind| error.to_string())
}

pub(super) fn parse_zone(text: &str) -> Result<Zone, String> {
    text.parse().map_err(|error: aggregation::local_time::UnknownZone| error.to_string())
}

pub(super) fn parse_user_id_type(text: &str) -> Result<UserIdType, String> {
    UserIdType::from_name(text).ok_or_else(|| "bigint, uuid or text is needed".to_owned())
}

/// Valid years of a local date. West of UTC, the first instant of the year 1 belongs to the year 0.
const YEARS: RangeInclusive<i32> = 0..=9999;

pub(super) fn parse_cursor(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('-').collect();
    let is_number = |part: &&str| {
        (1..=18).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if parts.len() == 3 && parts.iter().all(is_number) {
        Ok(text.to_owned())
    } else {
        Err("a cursor is the text \"cursor\" of a printed change, such as 1-7451-12".to_owned())
    }
}

pub(super) fn parse_date(text: &str) -> Result<NaiveDate, String> {
    match text.parse::<NaiveDate>() {
        Ok(date) if YEARS.contains(&date.year()) => Ok(date),
        _ => Err("a date such as 2026-03-29 is needed".to_owned()),
    }
}

pub(super) fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 1e9 => Ok(seconds),
        _ => Err("a number of seconds above 0 is needed".to_owned()),
    }
}
