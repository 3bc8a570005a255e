//! Several statements as one, with the first ones in its WITH clause.
//!
//! The driver ends each statement with a message of its own, and each answer of the server to it wakes the
//! worker: for a group of one row, that costs more than what the statements do.

use std::any::TypeId;

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};

/// Any statement.
pub(crate) type AnyStatement = Box<dyn QueryFragment<Pg> + Send + Sync>;

/// What a statement is known by among those that a connection has prepared: what it is made of.
pub(crate) type StatementName = Vec<TypeId>;

/// A statement, and others as its parts: `WITH part AS (…) …`.
///
/// All parts see the rows as they were before any of them, and are done in no certain order.
pub(crate) struct CteStatement {
    parts: Vec<(&'static str, AnyStatement)>,
    last: AnyStatement,
    /// The last one's and the parts'; none if one of them has none.
    name: Option<StatementName>,
}

impl CteStatement {
    /// A statement without parts.
    pub(crate) fn alone(id: Option<TypeId>, last: AnyStatement) -> Self {
        Self { parts: Vec::new(), last, name: id.map(|id| vec![id]) }
    }

    /// A statement that asks what became of a part.
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

    /// What it is known by; nothing if it cannot be known again.
    pub(crate) fn name(&self) -> &[TypeId] {
        self.name.as_deref().unwrap_or_default()
    }
}

/// It has no id of its own: a connection keeps it by its text.
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
