//! One value of a setting, and its conversion from TOML and from a variable.

use toml::Value;
use toml::de::{DeInteger, DeValue};

/// The name of the value's type in problems.
pub(super) fn expected(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        _ => "a string",
    }
}

/// The value as text, which may be a secret.
pub(super) fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // `Debug` keeps the decimal point of 45.0, which shows that fractions are allowed.
        Value::Float(float) => format!("{float:?}"),
        other => other.to_string(),
    }
}

/// The default from `config/default.toml`, which defines the type of the setting.
pub(super) fn from_default(value: &DeValue<'_>) -> Result<Value, &'static str> {
    match value {
        DeValue::String(text) => Ok(Value::String(text.clone().into_owned())),
        DeValue::Integer(integer) => to_i64(integer).map(Value::Integer),
        DeValue::Float(float) => {
            float.as_str().parse().map(Value::Float).map_err(|_| found_in_toml(value))
        }
        DeValue::Boolean(boolean) => Ok(Value::Boolean(*boolean)),
        _ => Err(found_in_toml(value)),
    }
}

/// A TOML value of the same type as `former`. The error names the type found.
pub(super) fn same_from_toml(former: &Value, value: &DeValue<'_>) -> Result<Value, &'static str> {
    match (former, from_default(value)?) {
        (Value::Float(_), Value::Integer(integer)) => Ok(Value::Float(integer as f64)),
        (former, new) if former.same_type(&new) => Ok(new),
        _ => Err(found_in_toml(value)),
    }
}

/// A variable's text, converted to the type of `former`. The error names the type found.
///
/// White space around numbers and booleans is ignored: files of variables often leave some.
pub(super) fn same_from_text(former: &Value, text: &str) -> Result<Value, &'static str> {
    let word = text.trim();
    match former {
        Value::Integer(_) => word.parse().ok().map(Value::Integer),
        Value::Float(_) => word.parse().ok().map(Value::Float),
        Value::Boolean(_) => word.parse().ok().map(Value::Boolean),
        _ => Some(Value::String(text.to_owned())),
    }
    .ok_or_else(|| found_in_text(word))
}

fn to_i64(integer: &DeInteger<'_>) -> Result<i64, &'static str> {
    i64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| HUGE)
}

const HUGE: &str = "an integer beyond 64 bits";

/// The type of the value, without the value itself.
pub(super) fn found_in_toml(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

fn found_in_text(word: &str) -> &'static str {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    if word.is_empty() {
        "empty; without the variable the value comes from the layer below"
    } else if word.parse::<i64>().is_ok() {
        "an integer"
    } else if digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty() {
        HUGE
    } else if word.parse::<f64>().is_ok() {
        "a number with a fraction"
    } else if word.parse::<bool>().is_ok() {
        "a boolean"
    } else {
        "text"
    }
}
