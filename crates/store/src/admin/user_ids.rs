//! The type of the ids of users.

use aggregation::UserIdType;
use diesel::sql_types::{Nullable, Text};

use crate::error::StoreError;
use crate::pool::Store;
use crate::sql::statement::statement;

statement! {
    struct ReadUserIdType {} -> (Nullable<Text>)
    "SELECT format_type(typbasetype, NULL) FROM pg_type WHERE oid = to_regtype('user_key')"
}

impl Store {
    /// The type of the ids of users in this database. It is read once, because it never changes.
    ///
    /// # Errors
    /// If the database fails, or its schema is of a version without the type.
    pub async fn user_id_type(&self) -> Result<UserIdType, StoreError> {
        let known = self.known_user_id_type();
        if let Some(known) = known.get() {
            return Ok(*known);
        }
        let rows: Vec<(Option<String>,)> = self.load("schema", ReadUserIdType {}).await?;
        let name = rows.into_iter().next().and_then(|(name,)| name);
        let id_type = name.and_then(|name| UserIdType::from_name(&name));
        let id_type = id_type.ok_or(StoreError::Internal("the domain user_key is missing"))?;
        Ok(*known.get_or_init(|| id_type))
    }
}
