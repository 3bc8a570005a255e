//! The query that lists the targets of a worker.

use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;

use crate::connection::connect::Target;
use crate::connection::libpq::Variables;
use crate::error::ConnectError;

/// A row of the directory: columns `name`, `url` and `schema`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name, if it is not NULL.
    pub name: Option<String>,
    /// The URL of its database, if the query has the column and it is not NULL.
    pub url: Option<String>,
    /// The schema of its tables, if the query has the column and it is not NULL.
    pub schema: Option<String>,
}

/// The reason why the directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// No connection to its database.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refused the query. The text of its error may quote a URL, so only the code is told.
    #[error("the server refuses the query (SQLSTATE {0}); try it with psql")]
    Refused(String),
    /// The query gave no answer in time.
    #[error("the query gave no answer within {0:.1} s")]
    NoAnswer(f64),
    /// The query has no column `name`.
    #[error("the query has no column \"name\"; it needs name, and url or schema or both")]
    NoName,
}

/// Asks a database for the list, in a read-only transaction, for at most `timeout`.
///
/// # Errors
/// The reason why the list is unknown.
pub async fn read_directory(
    url: &str,
    query: &str,
    timeout: Duration,
    application_name: &str,
    variables: Variables<'_>,
) -> Result<Vec<Listed>, DirectoryError> {
    let target = Target::new(url, timeout, application_name, variables)?;
    let (client, _link) = target.connect_without_diesel().await?;
    let asking = async {
        client.simple_query("BEGIN READ ONLY").await?;
        client.simple_query(query).await
    };
    let answer = tokio::time::timeout(timeout, asking).await;
    let messages = answer
        .map_err(|_| DirectoryError::NoAnswer(timeout.as_secs_f64()))?
        .map_err(|error| refused(&error))?;
    let mut listed = Vec::new();
    for message in messages {
        let SimpleQueryMessage::Row(row) = message else { continue };
        let column = |name: &str| row.columns().iter().position(|column| column.name() == name);
        let text = |name: &str| row.get(column(name)?).map(str::to_owned);
        if column("name").is_none() {
            return Err(DirectoryError::NoName);
        }
        listed.push(Listed { name: text("name"), url: text("url"), schema: text("schema") });
    }
    Ok(listed)
}

fn refused(error: &tokio_postgres::Error) -> DirectoryError {
    DirectoryError::Refused(error.code().map_or("unknown", |code| code.code()).to_owned())
}
