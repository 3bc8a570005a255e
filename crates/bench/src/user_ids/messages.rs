//! Rewrites PostgreSQL's messages Parse and Bind, so that ids of users are of type bigint.

use std::collections::HashMap;

const INT8: u32 = 20;
const INT8_ARRAY: u32 = 1016;

/// A statement of a client.
struct Statement {
    /// The parameters that are ids of users. True is an array.
    ids: HashMap<usize, bool>,
    /// The types of all parameters that the client declared, with their number before them.
    declared: Vec<u8>,
}

/// The statements of a connection, by their name.
#[derive(Default)]
pub struct Statements(HashMap<Vec<u8>, Statement>);

/// Reads a message from its begin.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn text(&mut self) -> Option<&'b [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = self.take(end)?;
        self.take(1)?;
        Some(text)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }
}

/// The numbers of the parameters that are cast to the domain, from 0, and whether they are arrays.
fn cast_parameters(sql: &str) -> HashMap<usize, bool> {
    let mut parameters = HashMap::new();
    for (place, _) in sql.match_indices("::user_key") {
        let (before, behind) = sql.split_at(place);
        let digits = before.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let number = before.get(digits.len()..).and_then(|number| number.parse::<usize>().ok());
        if let Some(number) = number.filter(|_| digits.ends_with('$')) {
            parameters.insert(number - 1, behind.starts_with("::user_key[]"));
        }
    }
    parameters
}

/// The bytes of an id, or of an array of ids, as bigint.
fn as_bigint(value: &[u8], is_array: bool) -> Option<Vec<u8>> {
    if !is_array {
        let number: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
        return Some(number.to_be_bytes().to_vec());
    }
    let mut reader = Reader(value);
    let (dimensions, has_nulls, _) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let mut array = [dimensions, has_nulls, INT8].map(u32::to_be_bytes).concat();
    array.extend(reader.take(8 * dimensions as usize)?);
    while !reader.0.is_empty() {
        let length = reader.u32()?;
        array.extend(8_u32.to_be_bytes());
        array.extend(as_bigint(reader.take(length as usize)?, false)?);
    }
    Some(array)
}

impl Statements {
    /// Rewrites a message Parse.
    pub fn parse(&mut self, body: &mut Vec<u8>) -> Option<()> {
        let mut reader = Reader(body);
        let name = reader.text()?;
        let sql = std::str::from_utf8(reader.text()?).ok()?;
        let parameters = cast_parameters(sql);
        let mut rewritten = name.to_vec();
        rewritten.push(0);
        rewritten.extend(sql.replace("::user_key", "::bigint").bytes());
        rewritten.push(0);
        let declared = reader.0.to_vec();
        let count = reader.u16()?;
        rewritten.extend(count.to_be_bytes());
        for number in 0..usize::from(count) {
            let of_type = reader.u32()?;
            let of_type = match parameters.get(&number) {
                None => of_type,
                Some(false) => INT8,
                Some(true) => INT8_ARRAY,
            };
            rewritten.extend(of_type.to_be_bytes());
        }
        self.0.insert(name.to_vec(), Statement { ids: parameters, declared });
        *body = rewritten;
        Some(())
    }

    /// The types that the client declared for the statement of a message Describe, as a message ParameterDescription
    /// has them.
    pub fn declared(&self, describe: &[u8]) -> Vec<u8> {
        let name = describe.get(1..describe.len() - 1).unwrap_or_default();
        self.0.get(name).map(|statement| statement.declared.clone()).unwrap_or_default()
    }

    /// Rewrites a message Bind; returns how many parameters are ids.
    pub fn bind(&self, body: &mut Vec<u8>) -> Option<u64> {
        let mut reader = Reader(body);
        reader.text()?;
        let name = reader.text()?;
        let Some(parameters) =
            self.0.get(name).map(|statement| &statement.ids).filter(|ids| !ids.is_empty())
        else {
            return Some(0);
        };
        let formats = reader.u16()?;
        reader.take(2 * usize::from(formats))?;
        let count = reader.u16()?;
        let mut rewritten = body.get(..body.len() - reader.0.len())?.to_vec();
        for number in 0..usize::from(count) {
            let length = reader.u32()?;
            // Null has no bytes.
            let value = if length == u32::MAX { None } else { Some(reader.take(length as usize)?) };
            let value = match (value, parameters.get(&number)) {
                (Some(value), Some(is_array)) => Some(as_bigint(value, *is_array)?),
                (value, _) => value.map(<[u8]>::to_vec),
            };
            let length = value.as_ref().map_or(u32::MAX, |value| value.len() as u32);
            rewritten.extend(length.to_be_bytes());
            rewritten.extend(value.unwrap_or_default());
        }
        rewritten.extend(reader.0);
        let ids = parameters.len() as u64;
        *body = rewritten;
        Some(ids)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Statements;

    #[test]
    fn ids_become_bigint_and_all_else_stays() {
        let mut statements = Statements::default();
        let mut parse = b"s1\0SELECT $2::user_key, NULL::user_key, $1, $3::user_key[]\0".to_vec();
        parse.extend([0, 3]);
        parse.extend([25_u32, 25, 1009].map(u32::to_be_bytes).concat());
        statements.parse(&mut parse).unwrap();
        let mut expected = b"s1\0SELECT $2::bigint, NULL::bigint, $1, $3::bigint[]\0".to_vec();
        expected.extend([0, 3]);
        expected.extend([25_u32, 20, 1016].map(u32::to_be_bytes).concat());
        assert_eq!(parse, expected);
        let declared = [&[0, 3][..], &[25_u32, 25, 1009].map(u32::to_be_bytes).concat()].concat();
        assert_eq!(statements.declared(b"Ss1\0"), declared);

        let head = [&b"\0s1\0"[..], &[0, 1, 0, 1, 0, 3]].concat();
        let array = |of_type: u32, ids: &[&[u8]]| {
            let mut bytes = [1, 0, of_type, ids.len() as u32, 1].map(u32::to_be_bytes).concat();
            for id in ids {
                bytes.extend((id.len() as u32).to_be_bytes());
                bytes.extend(*id);
            }
            bytes
        };
        let message = |values: &[&[u8]]| {
            let mut bytes = head.clone();
            for value in values {
                bytes.extend((value.len() as u32).to_be_bytes());
                bytes.extend(*value);
            }
            bytes.extend([0, 1, 0, 1]);
            bytes
        };
        let mut bind = message(&[b"x", b"-2", &array(25, &[b"7", b"300"])]);
        assert_eq!(statements.bind(&mut bind), Some(2));
        let ids = [7_i64, 300].map(i64::to_be_bytes);
        let expected = message(&[b"x", &(-2_i64).to_be_bytes(), &array(20, &[&ids[0], &ids[1]])]);
        assert_eq!(bind, expected);
    }
}
