//! The settings of operators for all workers: paused kinds, and the limit on rows.

use aggregation::{Kind, Timestamp};
use diesel::prelude::*;
use diesel::upsert::excluded;

use crate::error::StoreError;
use crate::pool::Store;
use crate::schema::{paused_kinds, worker_throttle};
use crate::sql::time::{RawTime, transaction_time};

/// A kind of which no worker claims rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PausedKind {
    /// The kind.
    pub kind: Kind,
    /// Since when.
    pub paused_at: Timestamp,
    /// Who paused it.
    pub paused_by: String,
}

/// The limit on rows that the database sets for each service.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = worker_throttle)]
pub struct Throttled {
    /// Rows each second; 0 is no limit.
    pub max_rows_per_second: i32,
    /// Since when.
    #[diesel(deserialize_as = RawTime)]
    pub changed_at: Timestamp,
    /// Who set it.
    pub changed_by: String,
}

impl Store {
    /// The kinds that are paused.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn paused(&self) -> Result<Vec<PausedKind>, StoreError> {
        type Columns = (String, RawTime, String);
        let read = paused_kinds::table.order(paused_kinds::kind);
        let rows: Vec<Columns> = self.load("control", read).await?;
        let paused = |(kind, RawTime(paused_at), paused_by): Columns| {
            Some(PausedKind { kind: kind.parse().ok()?, paused_at, paused_by })
        };
        Ok(rows.into_iter().filter_map(paused).collect())
    }

    /// Has all workers claim nothing of a kind from their next claim on. Says whether that is new.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn pause(&self, kind: Kind, by: &str) -> Result<bool, StoreError> {
        let pause = diesel::insert_into(paused_kinds::table)
            .values((paused_kinds::kind.eq(kind.name()), paused_kinds::paused_by.eq(by)))
            .on_conflict_do_nothing();
        Ok(self.execute("control", pause).await? > 0)
    }

    /// Ends a pause. Says whether there was one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn resume(&self, kind: Kind) -> Result<bool, StoreError> {
        let resume = diesel::delete(paused_kinds::table.find(kind.name()));
        Ok(self.execute("control", resume).await? > 0)
    }

    /// The limit that the database sets, if it sets one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn throttle(&self) -> Result<Option<Throttled>, StoreError> {
        let read = worker_throttle::table.select(Throttled::as_select());
        Ok(self.load("control", read).await?.pop())
    }

    /// Sets the limit that each service obeys in place of its own; `None` gives them back their own.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn set_throttle(&self, limit: Option<i32>, by: &str) -> Result<(), StoreError> {
        use crate::schema::worker_throttle as t;
        let Some(limit) = limit else {
            return self.execute("control", diesel::delete(t::table)).await.map(drop);
        };
        let set = diesel::insert_into(t::table)
            .values((t::max_rows_per_second.eq(limit), t::changed_by.eq(by)))
            .on_conflict(t::is_only)
            .do_update()
            .set((
                t::max_rows_per_second.eq(excluded(t::max_rows_per_second)),
                t::changed_by.eq(excluded(t::changed_by)),
                t::changed_at.eq(transaction_time()),
            ));
        self.execute("control", set).await.map(drop)
    }
}
