//! One value of a setting, and how it is read from TOML and from a variable.

use toml::de::{DeInteger, DeValue};

/// The value of a setting. No `Debug`: it may hold a secret.
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
}

impl Value {
    /// What a value of this type is called in a problem.
    pub(super) fn expected(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Boolean(_) => "true or false",
        }
    }

    /// The value as text, and it may be a secret.
    pub(super) fn as_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Integer(integer) => integer.to_string(),
            // `Debug` keeps the point of 45.0, which shows that fractions are welcome.
            Self::Float(float) => format!("{float:?}"),
            Self::Boolean(boolean) => boolean.to_string(),
        }
    }

    /// The default from `config/default.toml`, whose type is that of the setting.
    pub(super) fn from_default(value: &DeValue<'_>) -> Result<Self, &'static str> {
        match value {
            DeValue::String(text) => Ok(Self::Text(text.clone().into_owned())),
            DeValue::Integer(integer) => to_i64(integer).map(Self::Integer),
            DeValue::Float(float) => {
                float.as_str().parse().map(Self::Float).map_err(|_| found_in_toml(value))
            }
            DeValue::Boolean(boolean) => Ok(Self::Boolean(*boolean)),
            _ => Err(found_in_toml(value)),
        }
    }

    /// A TOML value of the same type as `self`, or else what it is instead.
    pub(super) fn same_from_toml(&self, value: &DeValue<'_>) -> Result<Self, &'static str> {
        match (self, Self::from_default(value)?) {
            (Self::Float(_), Self::Integer(integer)) => Ok(Self::Float(integer as f64)),
            (Self::Text(_), new @ Self::Text(_))
            | (Self::Integer(_), new @ Self::Integer(_))
            | (Self::Float(_), new @ Self::Float(_))
            | (Self::Boolean(_), new @ Self::Boolean(_)) => Ok(new),
            _ => Err(found_in_toml(value)),
        }
    }

    /// A variable's text as the same type as `self`, or else what it is instead.
    ///
    /// Around numbers and booleans white space is no matter: files of variables often leave some.
    pub(super) fn same_from_text(&self, text: &str) -> Result<Self, &'static str> {
        let word = text.trim();
        match self {
            Self::Text(_) => Some(Self::Text(text.to_owned())),
            Self::Integer(_) => word.parse().ok().map(Self::Integer),
            Self::Float(_) => word.parse().ok().map(Self::Float),
            Self::Boolean(_) => word.parse().ok().map(Self::Boolean),
        }
        .ok_or_else(|| found_in_text(word))
    }
}

fn to_i64(integer: &DeInteger<'_>) -> Result<i64, &'static str> {
    i64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| HUGE)
}

const HUGE: &str = "an integer beyond 64 bits";

/// What kind of value this is, without the value.
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
