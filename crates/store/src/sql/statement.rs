//! Hand-written SQL as statements that are prepared once per connection.
//!
//! diesel never caches statements of `sql_query`: each call prepares and executes, in two round trips. A
//! statement type with a static query id is prepared once and then takes one round trip.

/// Declares a statement: its parameters, the types of its columns, and its SQL. A parameter is written
/// `{name}`, or in a file, which psql can run, `:name`.
///
/// Each mention of a parameter is sent separately, so a large one should be mentioned once.
macro_rules! statement {
    (
        $(#[$meta:meta])*
        struct $name:ident $(<$life:lifetime>)? {
            $($field:ident: $rust:ty => $sql_type:ty),* $(,)?
        } -> ($($column:ty),* $(,)?)
        $sql:expr
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
    let mut rest = sql;
    while let Some((begin, name, end)) = next_parameter(rest) {
        let place = fields.iter().position(|field| *field == name);
        pieces.push(Piece {
            text: rest.get(..begin).unwrap_or_default(),
            parameter: place.map_or(Parameter::Unknown(name), Parameter::Field),
        });
        rest = rest.get(end..).unwrap_or_default();
    }
    pieces.push(Piece { text: rest, parameter: Parameter::None });
    pieces
}

/// The start of the next parameter, its name, and the start of the text after it.
fn next_parameter(sql: &'static str) -> Option<(usize, &'static str, usize)> {
    let is_of_name = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_'
    };
    let mut from = 0;
    loop {
        let begin = from + sql.get(from..)?.find(['{', ':'])?;
        let behind = sql.get(begin + 1..)?;
        let name = behind.split(|character| !is_of_name(character)).next().unwrap_or_default();
        let end = begin + 1 + name.len();
        if sql.get(begin..=begin) == Some("{") {
            return Some((begin, name, end + 1));
        }
        if behind.starts_with(':') {
            from = begin + 2;
        } else if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
            from = begin + 1;
        } else {
            return Some((begin, name, end));
        }
    }
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
}
