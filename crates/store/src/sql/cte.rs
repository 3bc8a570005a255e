//! Combines several statements into one, with the first ones in its WITH clause.
//!
//! The driver ends each statement with a message of its own, and each answer of the server wakes the
//! worker. For a group of one row, that costs more than the statements themselves.

use std::any::TypeId;

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};

/// A statement of any type.
pub(crate) type AnyStatement = Box<dyn QueryFragment<Pg> + Send + Sync>;

/// The identity of a prepared statement on a connection: the types that it is made of.
pub(crate) type StatementName = Vec<TypeId>;

/// A statement with others as its parts: `WITH part AS (…) …`.
///
/// All parts see the rows as they were before any of them, and run in no particular order.
pub(crate) struct CteStatement {
    parts: Vec<(&'static str, AnyStatement)>,
    last: AnyStatement,
    /// The types of the last statement and of the parts; `None` if one of them has no type id.
    name: Option<StatementName>,
}

impl CteStatement {
    /// A statement without parts.
    pub(crate) fn alone(id: Option<TypeId>, last: AnyStatement) -> Self {
        Self { parts: Vec::new(), last, name: id.map(|id| vec![id]) }
    }

    /// A statement that uses the result of a part.
    pub(crate) fn with<P, S>(name: &'static str, part: P, last: S) -> Self
    where
        P: QueryFragment<Pg> + QueryId + Send + Sync + 'static,
        S: QueryFragment<Pg> + QueryId + Send + Sync + 'static,
    {
        let mut statement = Self::alone(S::query_id(), Box::new(last));
        statement.add(name, P::query_id(), Box::new(part));
        statement
    }

    /// Adds another part.
    pub(crate) fn add(&mut self, name: &'static str, id: Option<TypeId>, part: AnyStatement) {
        self.parts.push((name, part));
        self.name = self.name.take().zip(id).map(|(mut of_others, id)| {
            of_others.push(id);
            of_others
        });
    }

    /// The identity of the statement; empty if it has none.
    pub(crate) fn name(&self) -> &[TypeId] {
        self.name.as_deref().unwrap_or_default()
    }
}

/// There is no static id: a connection caches the statement by its text.
impl QueryId for CteStatement {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for CteStatement {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut before = "WITH ";
        for (name, part) in &self.parts {
            out.push_sql(before);
            out.push_sql(name);
            out.push_sql(" AS (");
            part.walk_ast(out.reborrow())?;
            out.push_sql(") ");
            before = ", ";
        }
        self.last.walk_ast(out.reborrow())
    }
}
