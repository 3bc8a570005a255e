//! Bulk loading of raw rows.

use diesel::sql_types::{Array, Text};
use diesel_async::{AnsiTransactionManager, RunQueryDsl, TransactionManager};
use futures_util::SinkExt;

use aggregation::nutrition::NUTRIENTS;
use aggregation::{Kind, UserId};

use crate::connection::connect::{Connected, Link};
use crate::error::{ConnectError, ErrorClass};
use crate::pool::Store;
use crate::sql::statement::statement;
use crate::sql::user_key::UserKey;

/// The fields of one raw row in the order of [`raw_columns`]; `None` is NULL.
pub type ImportRow = Vec<Option<String>>;

/// A profile to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRow {
    /// The user.
    pub user_id: UserId,
    /// IANA name or offset.
    pub time_zone: String,
    /// Sources, best first.
    pub source_priority: Vec<String>,
}

/// An error of an import.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The database refused the rows. Its message may quote them, so only the error class is shown.
    #[error("the database refused the rows ({})", .0.name())]
    Refused(ErrorClass),
}

/// The columns of a raw table that an import fills, in order.
pub fn raw_columns(kind: Kind) -> Vec<&'static str> {
    match kind {
        Kind::Vitals => vec![
            "user_id",
            "metric",
            "value",
            "comparator",
            "unit",
            "source",
            "started_at",
            "ended_at",
            "time_zone",
            "is_daily_total",
            "workout_type",
        ],
        Kind::Nutrition => {
            let mut columns =
                vec!["user_id", "food_name", "meal_type", "eaten_at", "time_zone", "source"];
            columns.extend(NUTRIENTS);
            columns
        }
        Kind::Labs => vec![
            "user_id",
            "test_name",
            "loinc_code",
            "value_text",
            "unit",
            "reference_range",
            "flag",
            "specimen",
            "status",
            "collected_at",
            "time_zone",
            "source",
        ],
    }
}

pub(crate) const fn raw_table(kind: Kind) -> &'static str {
    match kind {
        Kind::Vitals => "vitals_raw",
        Kind::Nutrition => "nutrition_raw",
        Kind::Labs => "lab_raw",
    }
}

statement! {
    struct UpsertProfile<'a> {
        user_id: UserId => UserKey,
        time_zone: &'a str => Text,
        source_priority: &'a [String] => Array<Text>,
    } -> ()
    "INSERT INTO user_profiles (user_id, time_zone, source_priority)
     VALUES ({user_id}, {time_zone}, {source_priority})
     ON CONFLICT (user_id) DO UPDATE
     SET time_zone = excluded.time_zone, source_priority = excluded.source_priority"
}

/// A dedicated connection for an import. COPY is several times faster than INSERT, and a long import
/// must not occupy a connection of the pool.
pub struct Importer {
    pub(super) client: tokio_postgres::Client,
    /// Keeps the connection open: dropping the link closes it.
    _link: Box<Link>,
    /// The SQL of the settings at the beginning of a transaction.
    pub(super) settings: String,
}

impl std::fmt::Debug for Importer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Importer").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a dedicated connection for an import.
    ///
    /// # Errors
    /// The reason why the connection failed.
    pub async fn importer(&self) -> Result<Importer, ConnectError> {
        let settings = self.in_dedicated_transaction();
        let (client, link) = self.dedicated_client().await?;
        Ok(Importer { client, _link: Box::new(link), settings })
    }

    /// Writes all profiles or, if one fails, none. Existing profiles are replaced.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn write_profiles(&self, profiles: &[ProfileRow]) -> Result<(), ImportError> {
        let mut connection = self.dedicated().await?;
        let begin = format!("BEGIN;{}", self.in_dedicated_transaction());
        let refused = |link: &Link, error| ImportError::Refused(link.error(error).class());
        let Connected { connection, link } = &mut connection;
        AnsiTransactionManager::begin_transaction_sql(connection, &begin)
            .await
            .map_err(|error| refused(link, error))?;
        for profile in profiles {
            let upsert = UpsertProfile {
                user_id: profile.user_id.clone(),
                time_zone: &profile.time_zone,
                source_priority: &profile.source_priority,
            };
            upsert.execute(connection).await.map_err(|error| refused(link, error))?;
        }
        AnsiTransactionManager::commit_transaction(connection)
            .await
            .map_err(|error| refused(link, error))
    }
}

impl Importer {
    /// Inserts all raw rows or, if one fails, none. The fields must be valid for their columns.
    ///
    /// # Errors
    /// If the database fails or refuses a row; then none is inserted.
    pub async fn insert(&mut self, kind: Kind, rows: &[ImportRow]) -> Result<(), ImportError> {
        let columns = raw_columns(kind).join(", ");
        let copy = format!("COPY {} ({columns}) FROM STDIN", raw_table(kind));
        let mut text = String::new();
        for row in rows {
            copy_line(row, &mut text);
        }
        let transaction = self.client.transaction().await.map_err(refused)?;
        transaction.batch_execute(&self.settings).await.map_err(refused)?;
        let sink = transaction.copy_in(&copy).await.map_err(refused)?;
        futures_util::pin_mut!(sink);
        sink.send(std::io::Cursor::new(text.into_bytes())).await.map_err(refused)?;
        sink.as_mut().finish().await.map_err(refused)?;
        transaction.commit().await.map_err(refused)
    }
}

/// The class of a failure. The server's message may quote a row.
pub(super) fn refused(error: tokio_postgres::Error) -> ImportError {
    ImportError::Refused(if error.is_closed() {
        ErrorClass::ConnectionLost
    } else {
        ErrorClass::Refused
    })
}

/// Appends one line of COPY's text format.
fn copy_line(row: &[Option<String>], text: &mut String) {
    for (index, field) in row.iter().enumerate() {
        if index > 0 {
            text.push('\t');
        }
        match field {
            None => text.push_str("\\N"),
            Some(field) => {
                for character in field.chars() {
                    match character {
                        '\\' => text.push_str("\\\\"),
                        '\t' => text.push_str("\\t"),
                        '\n' => text.push_str("\\n"),
                        '\r' => text.push_str("\\r"),
                        other => text.push(other),
                    }
                }
            }
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_copy_line_escapes_what_would_end_a_field_or_a_line() {
        let mut text = String::new();
        let row = [Some("a\tb\\c\nd\re".to_owned()), None, Some(String::new())];
        super::copy_line(&row, &mut text);
        assert_eq!(text, "a\\tb\\\\c\\nd\\re\t\\N\t\n");
    }
}
