//! Ids of users, of one of three types.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::text::LONGEST_NAME_BYTES;

/// The type of the ids of all users of a database. It is chosen when the tables are created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserIdType {
    /// Whole numbers of 64 bits.
    #[default]
    Bigint,
    /// UUIDs.
    Uuid,
    /// Texts of 1 to [`LONGEST_NAME_BYTES`] bytes, none of them below that of a space. They are ordered
    /// by their bytes.
    Text,
}

/// The id of a user. Ids of one database are of one type, and are ordered as the database orders them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserId {
    /// An id of type [`UserIdType::Bigint`].
    Bigint(i64),
    /// An id of type [`UserIdType::Uuid`]: its bytes in the order in which they are written.
    Uuid([u8; 16]),
    /// An id of type [`UserIdType::Text`].
    Text(Arc<str>),
}

/// A text that is no id of the type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no user id of type {}: {}", id_type.name(), id_type.rule())]
pub struct InvalidUserId {
    text: String,
    id_type: UserIdType,
}

impl UserIdType {
    /// Each type.
    pub const ALL: [Self; 3] = [Self::Bigint, Self::Uuid, Self::Text];

    /// The name of the type in PostgreSQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bigint => "bigint",
            Self::Uuid => "uuid",
            Self::Text => "text",
        }
    }

    /// The type with a name of PostgreSQL.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|id_type| id_type.name() == name)
    }

    const fn rule(self) -> &'static str {
        match self {
            Self::Bigint => "it needs a whole number of at most 64 bits, such as 17",
            Self::Uuid => {
                "it needs 32 hexadecimal digits, such as 0190d3a8-7c1e-7a53-9b0e-5d1f0a4c2e11"
            }
            Self::Text => "it needs 1 to 1024 bytes without control characters",
        }
    }

    /// Reads an id as users write it. The digits of a UUID may be of either case, and its hyphens may
    /// be missing.
    ///
    /// # Errors
    /// If the text is no id of this type.
    pub fn parse(self, text: &str) -> Result<UserId, InvalidUserId> {
        let id = match self {
            Self::Bigint => text.parse().ok().map(UserId::Bigint),
            Self::Uuid => uuid(text).map(UserId::Uuid),
            Self::Text => is_text_id(text).then(|| UserId::Text(text.into())),
        };
        id.ok_or_else(|| InvalidUserId { text: shortened(text), id_type: self })
    }

    /// The least id, or a value below each id.
    pub fn least(self) -> UserId {
        match self {
            Self::Bigint => UserId::Bigint(i64::MIN),
            Self::Uuid => UserId::Uuid([0; 16]),
            Self::Text => UserId::Text(" ".into()),
        }
    }
}

impl fmt::Display for UserIdType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn is_text_id(text: &str) -> bool {
    let is_short = (1..=LONGEST_NAME_BYTES).contains(&text.len());
    is_short && text.bytes().all(|byte| byte >= b' ')
}

/// The text for an error, without its end if it is long.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    text.chars().take(SHOWN).collect()
}

/// Reads 32 hexadecimal digits, with hyphens in the four usual places or without any.
fn uuid(text: &str) -> Option<[u8; 16]> {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    let text = text.as_bytes();
    let digits: Vec<u8> = match text.len() {
        32 => text.to_vec(),
        36 if HYPHENS.iter().all(|place| text[*place] == b'-') => {
            let places = text.iter().enumerate().filter(|(place, _)| !HYPHENS.contains(place));
            places.map(|(_, digit)| *digit).collect()
        }
        _ => return None,
    };
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

impl UserId {
    /// The type of the id.
    pub const fn id_type(&self) -> UserIdType {
        match self {
            Self::Bigint(_) => UserIdType::Bigint,
            Self::Uuid(_) => UserIdType::Uuid,
            Self::Text(_) => UserIdType::Text,
        }
    }

    /// The id that follows in the order of all ids of the type; `None` after the last one.
    pub fn next(&self) -> Option<Self> {
        match self {
            Self::Bigint(number) => number.checked_add(1).map(Self::Bigint),
            Self::Uuid(bytes) => {
                let next = u128::from_be_bytes(*bytes).checked_add(1)?;
                Some(Self::Uuid(next.to_be_bytes()))
            }
            Self::Text(text) => next_text(text).map(|text| Self::Text(text.into())),
        }
    }
}

/// A text is followed by itself and a space. If that is too long, by the text with its last character raised.
fn next_text(text: &str) -> Option<String> {
    let mut next = text.to_owned();
    if next.len() < LONGEST_NAME_BYTES {
        next.push(' ');
        return Some(next);
    }
    while let Some(last) = next.pop() {
        let raised = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(raised) = raised
            && next.len() + raised.len_utf8() <= LONGEST_NAME_BYTES
        {
            next.push(raised);
            return Some(next);
        }
    }
    None
}

/// Writes a UUID in lower case with hyphens.
impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bigint(number) => fmt::Display::fmt(number, f),
            Self::Uuid(bytes) => {
                let mut text = String::with_capacity(36);
                for (place, byte) in bytes.iter().enumerate() {
                    if matches!(place, 4 | 6 | 8 | 10) {
                        text.push('-');
                    }
                    write!(text, "{byte:02x}")?;
                }
                f.pad(&text)
            }
            Self::Text(text) => f.pad(text),
        }
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<i64> for UserId {
    fn from(number: i64) -> Self {
        Self::Bigint(number)
    }
}

/// A number, or a string with the id.
impl serde::Serialize for UserId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bigint(number) => serializer.serialize_i64(*number),
            Self::Uuid(_) | Self::Text(_) => serializer.collect_str(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_its_type_and_printed_in_its_usual_form() {
        let uuid = "0190d3a8-7c1e-7a53-9b0e-5d1f0a4c2e11";
        for (id_type, text, printed) in [
            (UserIdType::Bigint, "-17", "-17"),
            (UserIdType::Bigint, "9223372036854775807", "9223372036854775807"),
            (UserIdType::Uuid, uuid, uuid),
            (UserIdType::Uuid, "0190D3A8-7C1E-7A53-9B0E-5D1F0A4C2E11", uuid),
            (UserIdType::Uuid, "0190d3a87c1e7a539b0e5d1f0a4c2e11", uuid),
            (UserIdType::Text, "auth0|Zoë", "auth0|Zoë"),
            (UserIdType::Text, "17", "17"),
        ] {
            let id = id_type.parse(text).unwrap();
            assert_eq!(id.to_string(), printed);
            assert_eq!(id.id_type(), id_type);
        }
    }

    #[test]
    fn a_text_that_is_no_id_of_the_type_is_refused_with_the_rule() {
        let long = "a".repeat(LONGEST_NAME_BYTES + 1);
        for (id_type, text) in [
            (UserIdType::Bigint, "abc"),
            (UserIdType::Bigint, ""),
            (UserIdType::Bigint, "9223372036854775808"),
            (UserIdType::Uuid, "17"),
            (UserIdType::Uuid, "0190d3a8-7c1e-7a53-9b0e-5d1f0a4c2e1g"),
            (UserIdType::Uuid, "0190d3a8_7c1e_7a53_9b0e_5d1f0a4c2e11"),
            (UserIdType::Uuid, "é190d3a8-7c1e-7a53-9b0e-5d1f0a4c2e1"),
            (UserIdType::Text, ""),
            (UserIdType::Text, "a\nb"),
            (UserIdType::Text, "a\0b"),
            (UserIdType::Text, &long),
        ] {
            let error = id_type.parse(text).unwrap_err().to_string();
            assert!(
                error.contains(&format!("is no user id of type {id_type}: it needs")),
                "{error}"
            );
            assert!(error.len() < 400, "{error}");
        }
    }

    #[test]
    fn ids_are_ordered_as_the_database_orders_them() {
        let sorted = |id_type: UserIdType, texts: &[&str]| {
            let ids: Vec<UserId> = texts.iter().map(|text| id_type.parse(text).unwrap()).collect();
            assert!(ids.is_sorted() && ids.iter().all(|id| *id >= id_type.least()), "{ids:?}");
        };
        sorted(UserIdType::Bigint, &["-9223372036854775808", "-2", "3", "20"]);
        sorted(
            UserIdType::Uuid,
            &[
                "00000000-0000-0000-0000-000000000000",
                "00000000-0000-0000-0000-0000000000ff",
                "0f000000-0000-0000-0000-000000000000",
                "f0000000-0000-0000-0000-000000000000",
            ],
        );
        sorted(UserIdType::Text, &[" ", "10", "9", "B", "a", "aa", "é"]);
    }

    #[test]
    fn the_next_id_is_the_least_of_all_greater_ones() {
        let next = |id_type: UserIdType, text: &str| {
            let next = id_type.parse(text).unwrap().next().map(|id| id.to_string());
            assert!(next.as_ref().is_none_or(|next| id_type.parse(next).is_ok()), "{next:?}");
            next
        };
        let long = |end: &str| "a".repeat(LONGEST_NAME_BYTES - end.len()) + end;
        assert_eq!(next(UserIdType::Bigint, "-1"), Some("0".to_owned()));
        assert_eq!(next(UserIdType::Bigint, &i64::MAX.to_string()), None);
        assert_eq!(
            next(UserIdType::Uuid, "00000000-0000-0000-0000-00000000ffff").unwrap(),
            "00000000-0000-0000-0000-000000010000"
        );
        assert_eq!(next(UserIdType::Uuid, &"f".repeat(32)), None);
        assert_eq!(next(UserIdType::Text, "a").unwrap(), "a ");
        assert_eq!(next(UserIdType::Text, &long("a")), Some(long("b")));
        assert_eq!(
            next(UserIdType::Text, &long("\u{7f}")).unwrap(),
            long("\u{7f}").replace("a\u{7f}", "b")
        );
        assert_eq!(next(UserIdType::Text, &long("\u{d7ff}")), Some(long("\u{e000}")));
        assert_eq!(next(UserIdType::Text, &"\u{10ffff}".repeat(LONGEST_NAME_BYTES / 4)), None);
    }
}
