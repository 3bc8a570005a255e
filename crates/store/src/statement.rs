//! Hand-written SQL as statements that are prepared once per connection.
//!
//! diesel never caches what `sql_query` sends: each call would prepare, execute and forget, in
//! two round trips. A type of its own with a static query id is prepared once and costs one.

/// Declares a statement: its parameters, the types of its columns, and its SQL, in which a
/// parameter stands as `{name}`.
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

/// Splits SQL at its parameters.
///
/// It takes text that was there before any data: what is not `'static` may have some in it.
pub(crate) fn pieces(sql: &'static str) -> impl Iterator<Item = Piece> {
    let mut rest = Some(sql);
    std::iter::from_fn(move || {
        let sql = rest?;
        let Some((text, behind)) = sql.split_once('{') else {
            rest = None;
            return Some((sql, None));
        };
        let (name, behind) = behind.split_once('}').unwrap_or((behind, ""));
        rest = Some(behind);
        Some((text, Some(name)))
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn sql_is_split_at_its_parameters() {
        let found: Vec<_> = super::pieces("a = {a} AND b = {b}").collect();
        assert_eq!(found, [("a = ", Some("a")), (" AND b = ", Some("b")), ("", None)]);
    }
}
