//! Hand-written SQL as statements that are prepared once per connection.
//!
//! diesel never caches statements of `sql_query`: each call prepares and executes, in two round trips. A
//! statement type with a static query id is prepared once and then takes one round trip.

/// Declares a statement: its parameters, the types of its columns, and its SQL. A parameter is written
/// `{name}`, or in a file, which psql can run, `:name`.
///
/// A parameter without a field, or a field without a parameter, does not compile. Only SQL that is `built` when the
/// process runs is checked when it is first used.
///
/// Each mention of a parameter is sent on its own, so that large ones belong into one place. A parameter of the
/// type `UserKey` is cast to the domain `user_key`.
macro_rules! statement {
    (
        $(#[$meta:meta])*
        struct $name:ident $(<$life:lifetime>)? {
            $($field:ident: $rust:ty => $sql_type:ty),* $(,)?
        } -> ($($column:ty),* $(,)?)
        built $sql:expr
    ) => {
        $(#[$meta])*
        #[derive(Clone)]
        pub(crate) struct $name $(<$life>)? {
            $(pub(crate) $field: $rust,)*
        }

        const _: () = {
            use diesel::pg::Pg;
            use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
            use std::sync::LazyLock;

            use crate::sql::statement::{Parameter, Piece, pieces};

            /// The key under which connections cache the statement.
            pub(crate) struct Id;

            impl $(<$life>)? QueryId for $name $(<$life>)? {
                type QueryId = Id;
                const HAS_STATIC_QUERY_ID: bool = true;
            }

            impl $(<$life>)? Query for $name $(<$life>)? {
                type SqlType = ($($column,)*);
            }

            impl $(<$life>)? QueryFragment<Pg> for $name $(<$life>)? {
                #[allow(unused_assignments, unused_mut, unused_variables)]
                fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
                    static PIECES: LazyLock<Vec<Piece>> =
                        LazyLock::new(|| pieces($sql, &[$(stringify!($field)),*]));
                    for Piece { text, parameter } in &*PIECES {
                        out.push_sql(text);
                        let mut place = 0;
                        $(
                            if *parameter == Parameter::Field(place) {
                                out.push_bind_param::<$sql_type, _>(&self.$field)?;
                                out.push_sql(crate::sql::user_key::cast_of::<$sql_type>());
                            }
                            place += 1;
                        )*
                        if let Parameter::Unknown(name) = parameter {
                            return Err(diesel::result::Error::QueryBuilderError(
                                format!("no parameter {name}").into(),
                            ));
                        }
                    }
                    Ok(())
                }
            }
        };
    };
    (
        $(#[$meta:meta])*
        struct $name:ident $(<$life:lifetime>)? {
            $($field:ident: $rust:ty => $sql_type:ty),* $(,)?
        } -> ($($column:ty),* $(,)?)
        $sql:expr
    ) => {
        const _: () = crate::sql::statement::check($sql, &[$(stringify!($field)),*]);
        crate::sql::statement::statement! {
            $(#[$meta])*
            struct $name $(<$life>)? { $($field: $rust => $sql_type),* } -> ($($column),*)
            built $sql
        }
    };
}

pub(crate) use statement;

/// A piece of text, and the parameter after it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) text: &'static str,
    pub(crate) parameter: Parameter,
}

/// A parameter of a statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// Index of the parameter among the fields.
    Field(usize),
    /// A name that is not a field.
    Unknown(&'static str),
    /// No parameter follows the last piece.
    None,
}

/// Splits SQL at its parameters. A cast, as in `::text`, is not a parameter, nor is the colon of a
/// comment.
///
/// The text must be `'static`: other text may contain data.
pub(crate) fn pieces(sql: &'static str, fields: &[&str]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(Mention { begin, name: (from, to), end }) = next_parameter(sql.as_bytes(), at) {
        let name = sql.get(from..to).unwrap_or_default();
        let place = fields.iter().position(|field| *field == name);
        pieces.push(Piece {
            text: sql.get(at..begin).unwrap_or_default(),
            parameter: place.map_or(Parameter::Unknown(name), Parameter::Field),
        });
        at = end;
    }
    pieces.push(Piece { text: sql.get(at..).unwrap_or_default(), parameter: Parameter::None });
    pieces
}

/// The compiler runs this: each parameter must have a field, and each field a parameter.
pub(crate) const fn check(sql: &str, fields: &[&str]) {
    const MOST_FIELDS: usize = 64;
    let sql = sql.as_bytes();
    let mut is_used = [false; MOST_FIELDS];
    let mut at = 0;
    while let Some(Mention { name, end, .. }) = next_parameter(sql, at) {
        let mut field = 0;
        while field < fields.len() && !is_name(sql, name, fields[field].as_bytes()) {
            field += 1;
        }
        assert!(field < fields.len(), "the SQL has a parameter that is no field");
        is_used[field] = true;
        at = end;
    }
    let mut field = 0;
    while field < fields.len() {
        assert!(is_used[field], "the SQL does not have each field as a parameter");
        field += 1;
    }
}

const fn is_name(sql: &[u8], (from, to): (usize, usize), field: &[u8]) -> bool {
    if to - from != field.len() {
        return false;
    }
    let mut at = 0;
    while at < field.len() {
        if sql[from + at] != field[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Where a parameter begins, where its name is, and where the text behind it begins.
struct Mention {
    begin: usize,
    name: (usize, usize),
    end: usize,
}

/// The next parameter from a place on.
const fn next_parameter(sql: &[u8], from: usize) -> Option<Mention> {
    let mut begin = from;
    while begin < sql.len() {
        let is_brace = sql[begin] == b'{';
        if !is_brace && sql[begin] != b':' {
            begin += 1;
            continue;
        }
        let first = begin + 1;
        let mut end = first;
        while end < sql.len() && matches!(sql[end], b'a'..=b'z' | b'0'..=b'9' | b'_') {
            end += 1;
        }
        if is_brace {
            return Some(Mention { begin, name: (first, end), end: end + 1 });
        }
        if first < sql.len() && sql[first] == b':' {
            begin = first + 1;
        } else if end > first && sql[first].is_ascii_lowercase() {
            return Some(Mention { begin, name: (first, end), end });
        } else {
            begin = first;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_is_split_at_its_parameters() {
        let piece = |text, parameter| Piece { text, parameter };
        assert_eq!(
            pieces("a = {a} AND b = {b} OR {c}", &["b", "a"]),
            [
                piece("a = ", Parameter::Field(1)),
                piece(" AND b = ", Parameter::Field(0)),
                piece(" OR ", Parameter::Unknown("c")),
                piece("", Parameter::None),
            ]
        );
        assert_eq!(
            pieces("-- in psql: this\nSELECT :a::text, '0:00'", &["a"]),
            [
                piece("-- in psql: this\nSELECT ", Parameter::Field(0)),
                piece("::text, '0:00'", Parameter::None),
            ]
        );
    }

    #[test]
    #[should_panic(expected = "a parameter that is no field")]
    fn a_parameter_without_a_field_is_refused() {
        check("a = {a} AND b = :b", &["a"]);
    }

    #[test]
    #[should_panic(expected = "each field as a parameter")]
    fn a_field_without_a_parameter_is_refused() {
        check("a = {a}", &["a", "b"]);
    }
}
