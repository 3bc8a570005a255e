//! Actions of operators on rows that failed, and the log of all actions.

use aggregation::{Timestamp, UserId};
use chrono::{NaiveDate, NaiveTime};
use diesel::data_types::PgTimestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz};

use crate::error::StoreError;
use crate::pool::Store;
use crate::schema::operator_actions;
use crate::sql::statement::statement;
use crate::sql::time::{OptionalTime, RawTime, to_postgres, transaction_time};
use crate::sql::user_key::UserKey;

/// The maximum of change sets that one step of an action changes: it lasts well under a second.
const STEP_OF_SETS: i64 = 500;

/// Which of the change sets that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureFilter {
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only those that failed last with this class.
    pub class: Option<String>,
    /// With the class: only those with this SQLSTATE, table and constraint.
    pub detail: Option<String>,
    /// Only this user's.
    pub user_id: Option<UserId>,
    /// Only those with a raw row on this UTC date or later.
    pub from: Option<NaiveDate>,
    /// Only those with a raw row on this UTC date or earlier.
    pub to: Option<NaiveDate>,
    /// Only dead ones.
    pub only_dead: bool,
}

/// The state of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionState {
    /// It goes on, or its worker ended.
    Running,
    /// It is done.
    Done,
    /// It was stopped before its end.
    Stopped,
    /// It failed.
    Failed,
}

impl ActionState {
    /// As in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// An entry of the action log.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = operator_actions)]
pub struct OperatorAction {
    /// Its number.
    pub id: i64,
    /// When it began.
    #[diesel(deserialize_as = RawTime)]
    pub begun_at: Timestamp,
    /// When it ended, if it did.
    #[diesel(deserialize_as = OptionalTime)]
    pub ended_at: Option<Timestamp>,
    /// Who did it.
    pub actor: String,
    /// The name of the action.
    pub action: String,
    /// To what.
    pub target: String,
    /// Rows or dates that were counted beforehand.
    pub expected: Option<i64>,
    /// Rows or dates done.
    pub done: i64,
    /// `running`, `done`, `stopped` or `failed`.
    pub state: String,
    /// Its outcome, in a sentence.
    pub outcome: Option<String>,
}

/// The change sets of a filter. A cause is its class, and the detail follows the first space. In the order of
/// the index of failures, the server reads no change set that has not failed.
macro_rules! selected {
    () => {
        "q.last_error IS NOT NULL
           AND ({kind}::text IS NULL OR q.kind = {kind})
           AND ({class}::text IS NULL OR split_part(q.last_error, ' ', 1) = {class})
           AND ({detail}::text IS NULL
                OR substr(q.last_error, strpos(q.last_error || ' ', ' ') + 1) = {detail})
           AND ({user_id} IS NULL OR q.user_id = {user_id})
           AND ({from}::timestamptz IS NULL OR q.ends_at >= {from})
           AND ({until}::timestamptz IS NULL OR q.starts_at < {until})
           AND (NOT {only_dead} OR q.state = 'dead')
           AND q.state <> 'processing'
         ORDER BY q.kind, q.not_before
         LIMIT {most}"
    };
}

macro_rules! failure_statement {
    ($name:ident, $columns:tt, $sql:expr) => {
        statement! {
            struct $name<'a> {
                kind: Option<&'a str> => Nullable<Text>,
                class: Option<&'a str> => Nullable<Text>,
                detail: Option<&'a str> => Nullable<Text>,
                user_id: Option<UserId> => Nullable<UserKey>,
                from: Option<PgTimestamp> => Nullable<Timestamptz>,
                until: Option<PgTimestamp> => Nullable<Timestamptz>,
                only_dead: bool => Bool,
                most: i64 => BigInt,
            } -> $columns
            $sql
        }

        impl<'a> $name<'a> {
            fn of(filter: &'a FailureFilter, most: i64) -> Self {
                let midnight = |date: NaiveDate| {
                    to_postgres(Timestamp::from_utc_clock(date.and_time(NaiveTime::MIN)))
                };
                Self {
                    kind: filter.kind.as_deref(),
                    class: filter.class.as_deref(),
                    detail: filter.detail.as_deref(),
                    user_id: filter.user_id.clone(),
                    from: filter.from.map(midnight),
                    until: filter.to.and_then(|date| date.succ_opt()).map(midnight),
                    only_dead: filter.only_dead,
                    most,
                }
            }
        }
    };
}

failure_statement!(
    CountSelected,
    (BigInt, BigInt),
    concat!(
        "SELECT coalesce(sum(rows), 0), count(*)
         FROM (SELECT cardinality(q.raw_ids) AS rows FROM aggregation_queue AS q
               WHERE ",
        selected!(),
        ") AS sets"
    )
);

failure_statement!(
    RequeueSelected,
    (Integer),
    concat!(
        "WITH picked AS MATERIALIZED (
             SELECT q.ctid FROM aggregation_queue AS q
             WHERE ",
        selected!(),
        " FOR UPDATE OF q SKIP LOCKED
         )
         UPDATE aggregation_queue AS q
         SET state = 'pending', attempts = 0, lost_leases = 0, not_before = now(), last_error = NULL
         FROM picked
         WHERE q.ctid = picked.ctid
         RETURNING cardinality(q.raw_ids)"
    )
);

failure_statement!(
    DiscardSelected,
    (Integer),
    concat!(
        "WITH picked AS MATERIALIZED (
             SELECT q.ctid FROM aggregation_queue AS q
             WHERE ",
        selected!(),
        " FOR UPDATE OF q SKIP LOCKED
         )
         DELETE FROM aggregation_queue AS q
         USING picked
         WHERE q.ctid = picked.ctid
         RETURNING cardinality(q.raw_ids)"
    )
);

impl Store {
    /// How many raw rows the selected change sets have, of `most` sets at most, and whether there may be more.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count_failures(
        &self,
        filter: &FailureFilter,
        most: i64,
    ) -> Result<(i64, bool), StoreError> {
        let statement = CountSelected::of(filter, most);
        let rows: Vec<(i64, i64)> = self.load("page", statement).await?;
        let (rows, sets) = rows.into_iter().next().unwrap_or_default();
        Ok((rows, sets >= most))
    }

    /// Gives some of the selected change sets all their attempts back, due at once. Returns how many raw rows
    /// they have, 0 when none is left. Sets that another session has locked are left to it.
    ///
    /// # Errors
    /// If the database fails; then none was changed.
    pub async fn requeue_failures(&self, filter: &FailureFilter) -> Result<u64, StoreError> {
        let statement = RequeueSelected::of(filter, STEP_OF_SETS);
        let rows: Vec<(i32,)> = self.load("requeue", statement).await?;
        Ok(rows.into_iter().map(|(rows,)| rows as u64).sum())
    }

    /// Deletes some of the selected dead change sets. Their raw rows stay; their figures stay as they are.
    /// Returns how many raw rows they have, 0 when none is left.
    ///
    /// # Errors
    /// If the database fails; then none was deleted.
    pub async fn discard_dead(&self, filter: &FailureFilter) -> Result<u64, StoreError> {
        let dead = FailureFilter { only_dead: true, ..filter.clone() };
        let statement = DiscardSelected::of(&dead, STEP_OF_SETS);
        let rows: Vec<(i32,)> = self.load("discard", statement).await?;
        Ok(rows.into_iter().map(|(rows,)| rows as u64).sum())
    }

    /// Writes an action into the log before it begins, and deletes actions of more than a year ago. Returns its
    /// number.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn begin_action(
        &self,
        actor: &str,
        action: &str,
        target: &str,
        expected: Option<i64>,
    ) -> Result<i64, StoreError> {
        use crate::schema::operator_actions as a;
        let year_ago = diesel::dsl::sql::<Timestamptz>("now() - interval '1 year'");
        let old = diesel::delete(a::table).filter(a::begun_at.lt(year_ago));
        self.execute("control", old).await?;
        let begin = diesel::insert_into(a::table)
            .values((
                a::actor.eq(actor),
                a::action.eq(action),
                a::target.eq(target),
                a::expected.eq(expected),
            ))
            .returning(a::id);
        let ids: Vec<i64> = self.load("control", begin).await?;
        ids.into_iter().next().ok_or(StoreError::Internal("an action has no number"))
    }

    /// Writes into the log how far an action has come. Its end is final: a record of its progress may reach the
    /// server behind it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn update_action(
        &self,
        id: i64,
        done: i64,
        state: ActionState,
        outcome: Option<&str>,
    ) -> Result<(), StoreError> {
        use crate::schema::operator_actions as a;
        let running = a::table.find(id).filter(a::state.eq(ActionState::Running.name()));
        let come = (a::done.eq(done), a::outcome.eq(outcome));
        if state == ActionState::Running {
            return self.execute("control", diesel::update(running).set(come)).await.map(drop);
        }
        let end = (come, a::state.eq(state.name()), a::ended_at.eq(transaction_time().nullable()));
        self.execute("control", diesel::update(running).set(end)).await.map(drop)
    }

    /// The latest actions, the last one first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn operator_actions(&self, most: u32) -> Result<Vec<OperatorAction>, StoreError> {
        let read = operator_actions::table
            .order(operator_actions::id.desc())
            .limit(most.into())
            .select(OperatorAction::as_select());
        self.load("page", read).await
    }
}
