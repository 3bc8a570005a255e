//! Ids of users in statements.
//!
//! The domain `user_key` has the database's type of user ids. A parameter is sent as text and cast to
//! the domain, so that one statement serves each type. A column returns its own type, by which the id is
//! read.

use std::any::TypeId;
use std::io::Write;

use aggregation::UserId;
use diesel::deserialize::{self, FromSql, Queryable};
use diesel::expression::{
    AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate,
};
use diesel::pg::{Pg, PgValue};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Array, BigInt, Nullable, SqlType};

/// The SQL type of a user's id. A parameter of it is declared as text.
#[derive(Clone, Copy, Debug, Default, QueryId, SqlType)]
#[diesel(postgres_type(oid = 25, array_oid = 1009))]
pub struct UserKey;

// Type ids that are fixed in PostgreSQL's protocol.
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const VARCHAR: u32 = 1043;
const UUID: u32 = 2950;

impl ToSql<UserKey, Pg> for UserId {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        write!(out, "{self}")?;
        Ok(IsNull::No)
    }
}

impl FromSql<UserKey, Pg> for UserId {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let bytes = value.as_bytes();
        Ok(match value.get_oid().get() {
            INT8 => Self::Bigint(i64::from_be_bytes(bytes.try_into()?)),
            INT4 => Self::Bigint(i32::from_be_bytes(bytes.try_into()?).into()),
            INT2 => Self::Bigint(i16::from_be_bytes(bytes.try_into()?).into()),
            UUID => Self::Uuid(bytes.try_into()?),
            TEXT | VARCHAR => Self::Text(std::str::from_utf8(bytes)?.into()),
            _ => return Err("a user's id is no bigint, uuid or text".into()),
        })
    }
}

impl Queryable<UserKey, Pg> for UserId {
    type Row = Self;

    fn build(row: Self::Row) -> deserialize::Result<Self> {
        Ok(row)
    }
}

/// The cast behind a parameter of a statement.
pub(crate) fn cast_of<T: 'static>() -> &'static str {
    let parameter = TypeId::of::<T>();
    if parameter == TypeId::of::<UserKey>() || parameter == TypeId::of::<Nullable<UserKey>>() {
        "::user_key"
    } else if parameter == TypeId::of::<Array<UserKey>>() {
        "::user_key[]"
    } else {
        ""
    }
}

/// A user's id as a parameter of diesel's statements, with its cast. `schema.rs` is that of a database
/// with ids of type bigint, so the parameter has that type there.
#[derive(Clone, Debug)]
pub(crate) struct BoundUser(pub(crate) UserId);

impl Expression for BoundUser {
    type SqlType = BigInt;
}

impl<Table> AppearsOnTable<Table> for BoundUser {}

impl<Table> SelectableExpression<Table> for BoundUser {}

impl<Group> ValidGrouping<Group> for BoundUser {
    type IsAggregate = is_aggregate::Never;
}

impl QueryId for BoundUser {
    type QueryId = UserKey;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for BoundUser {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
        out.push_bind_param::<UserKey, _>(&self.0)?;
        out.push_sql("::user_key");
        Ok(())
    }
}
