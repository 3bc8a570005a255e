//! Hand-written SQL as statements that are prepared once per connection.
//!
//! diesel never caches what `sql_query` sends: each call would prepare, execute and forget, in
//! two round trips. A type of its own with a static query id is prepared once and costs one.

/// Declares a statement: its parameters, the types of its columns, and its SQL, in which a parameter is `{name}`,
/// or in a file, which psql can run, `:name`.
///
/// Each mention of a parameter is sent on its own, so that large ones belong into one place.
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

            /// The name under which connections cache the statement.
            pub(crate) struct Id;

            impl $(<$life>)? QueryId for $name $(<$life>)? {
                type QueryId = Id;
                const HAS_STATIC_QUERY_ID: bool = true;
            }

            impl $(<$life>)? Query for $name $(<$life>)? {
                type SqlType = ($($column,)*);
            }

            impl $(<$life>)? QueryFragment<Pg> for $name $(<$life>)? {
                #[allow(unused_mut, unused_variables)]
                fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
                    for (text, parameter) in crate::statement::pieces($sql) {
                        out.push_sql(text);
                        match parameter {
                            $(Some(stringify!($field)) => {
                                out.push_bind_param::<$sql_type, _>(&self.$field)?;
                            })*
                            Some(unknown) => {
                                return Err(diesel::result::Error::QueryBuilderError(
                                    format!("no parameter {unknown}").into(),
                                ));
                            }
                            None => {}
                        }
                    }
                    Ok(())
                }
            }
        };
    };
}

pub(crate) use statement;

/// A text, and the name of the parameter behind it.
type Piece = (&'static str, Option<&'static str>);

/// Splits SQL at its parameters. A cast, as in `::text`, is none, nor is the colon of a comment.
///
/// It takes text that was there before any data: what is not `'static` may have some in it.
pub(crate) fn pieces(sql: &'static str) -> impl Iterator<Item = Piece> {
    let mut rest = Some(sql);
    std::iter::from_fn(move || {
        let sql = rest?;
        let Some((begin, name, end)) = next_parameter(sql) else {
            rest = None;
            return Some((sql, None));
        };
        rest = sql.get(end..);
        Some((sql.get(..begin).unwrap_or_default(), Some(name)))
    })
}

/// Where the next parameter begins, its name, and where the text behind it begins.
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
    #[test]
    fn sql_is_split_at_its_parameters() {
        let found: Vec<_> = super::pieces("a = {a} AND b = {b}").collect();
        assert_eq!(found, [("a = ", Some("a")), (" AND b = ", Some("b")), ("", None)]);
        let found: Vec<_> = super::pieces("-- in psql: this\nSELECT :a::text, '0:00'").collect();
        assert_eq!(found, [("-- in psql: this\nSELECT ", Some("a")), ("::text, '0:00'", None)]);
    }
}
