//! The table `rejected_rows`.

use aggregation::{Kind, Reason, UserId};
use chrono::NaiveDate;
use diesel::sql_types::{Array, BigInt, Bool, Date, Nullable, Text};

use crate::error::StoreError;
use crate::sql::statement::statement;
use crate::sql::user_key::UserKey;
use crate::transaction::GroupTransaction;

/// The outcome of a claimed raw row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Id of the raw row.
    pub raw_id: i64,
    /// Why the row is excluded from the figures; `None` if it is included or deleted.
    pub reason: Option<Reason>,
}

statement! {
    struct ListRejected {
        user_id: UserId => UserKey,
        kind: &'static str => Text,
        raw_ids: Vec<i64> => Array<BigInt>,
        reasons: Vec<&'static str> => Array<Text>,
    } -> ()
    // The time of the first rejection stays, even if the reason changes.
    "INSERT INTO rejected_rows (user_id, kind, raw_id, reason)
     SELECT {user_id}, {kind}, raw_id, reason
     FROM unnest({raw_ids}::bigint[], {reasons}::text[]) AS rejected (raw_id, reason)
     ON CONFLICT (user_id, kind, raw_id) DO UPDATE SET reason = excluded.reason
     WHERE rejected_rows.reason <> excluded.reason"
}

statement! {
    struct UnlistRejected {
        user_id: UserId => UserKey,
        kind: &'static str => Text,
        raw_ids: Vec<i64> => Array<BigInt>,
    } -> ()
    "DELETE FROM rejected_rows
     WHERE user_id = {user_id} AND kind = {kind} AND raw_id = ANY ({raw_ids})"
}

/// The entry of a raw row in `rejected_rows`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Id of the raw row.
    pub raw_id: i64,
    /// The reason; `None` if it is not listed.
    pub reason: Option<String>,
    /// The UTC date of its start; `None` if the row is deleted, or its time is outside the calendar.
    pub date: Option<NaiveDate>,
    /// Whether the raw row exists.
    pub is_there: bool,
}

statement! {
    struct ReadUnlisted {
        user_id: UserId => UserKey,
        kind: &'static str => Text,
        raw_ids: Vec<i64> => Array<BigInt>,
    } -> (BigInt)
    // OFFSET 0 keeps the planner from a join that compares each raw row with all of the user's entries.
    "SELECT raw_id FROM unnest({raw_ids}::bigint[]) AS judged (raw_id)
     WHERE (SELECT true FROM rejected_rows AS r
            WHERE r.user_id = {user_id} AND r.kind = {kind} AND r.raw_id = judged.raw_id
            OFFSET 0) IS NULL"
}

/// Declares the statement of one kind: its raw table, the start of a row, and a condition. The condition
/// selects rows that no computation reads, besides those outside the calendar.
macro_rules! read_listed {
    ($name:ident, $raw:literal, $start:literal, $unread:literal) => {
        statement! {
            struct $name {
                user_id: UserId => UserKey,
                kind: &'static str => Text,
                unlisted: Vec<i64> => Array<BigInt>,
                metrics: Vec<String> => Array<Text>,
            } -> (BigInt, Nullable<Text>, Nullable<Date>, Bool)
            concat!(
                "WITH asked AS MATERIALIZED (
                     SELECT {user_id} AS user_id, {kind}::text AS kind,
                            {metrics}::text[] AS metrics),
                 of_interest AS (
                     SELECT r.raw_id FROM asked JOIN rejected_rows AS r USING (user_id, kind)
                     UNION SELECT unnest({unlisted}::bigint[])
                     UNION SELECT r.id FROM asked JOIN ", $raw, " AS r USING (user_id)
                     WHERE ", $unread, " OR ", $start, " < timestamptz '0001-01-01 00:00Z'
                           OR ", $start, " >= timestamptz '9999-12-31 00:00Z')
                 SELECT of_interest.raw_id, listed.reason,
                        CASE WHEN ", $start, " >= timestamptz '0001-01-01 00:00Z'
                              AND ", $start, " < timestamptz '9999-12-31 00:00Z'
                             THEN (", $start, " AT TIME ZONE 'UTC')::date END,
                        r.id IS NOT NULL
                 FROM asked CROSS JOIN of_interest
                 LEFT JOIN LATERAL (
                     SELECT l.reason FROM rejected_rows AS l
                     WHERE l.user_id = asked.user_id AND l.kind = asked.kind AND l.raw_id = of_interest.raw_id
                     OFFSET 0
                 ) AS listed ON true
                 LEFT JOIN LATERAL (
                     SELECT * FROM ", $raw, " AS r
                     WHERE r.user_id = asked.user_id AND r.id = of_interest.raw_id
                     OFFSET 0
                 ) AS r ON true
                 WHERE of_interest.raw_id NOT IN (
                     SELECT unnest(q.raw_ids) FROM aggregation_queue AS q
                     WHERE q.user_id = (SELECT user_id FROM asked) AND q.kind = (SELECT kind FROM asked))
                 ORDER BY 1"
            )
        }
    };
}

read_listed!(ReadListedVitals, "vitals_raw", "r.started_at", "NOT r.metric = ANY (asked.metrics)");
read_listed!(ReadListedNutrition, "nutrition_raw", "r.eaten_at", "false");
read_listed!(ReadListedLabs, "lab_raw", "r.collected_at", "false");

type ListedColumns = (i64, Option<String>, Option<NaiveDate>, bool);

impl GroupTransaction<'_> {
    /// Those of the raw rows that are not listed.
    pub(crate) async fn read_unlisted(
        &mut self,
        raw_ids: Vec<i64>,
    ) -> Result<Vec<i64>, StoreError> {
        let read = ReadUnlisted { user_id: self.user_id(), kind: self.kind().name(), raw_ids };
        let rows: Vec<(i64,)> = self.read(read).await?;
        Ok(rows.into_iter().map(|(raw_id,)| raw_id).collect())
    }

    /// See [`VerifySession::listed`](crate::VerifySession::listed).
    pub(crate) async fn read_listed(
        &mut self,
        unlisted: Vec<i64>,
        metrics: Vec<String>,
    ) -> Result<Vec<Listed>, StoreError> {
        let (user_id, kind) = (self.user_id(), self.kind().name());
        let rows: Vec<ListedColumns> = match self.kind() {
            Kind::Vitals => {
                self.read(ReadListedVitals { user_id, kind, unlisted, metrics }).await?
            }
            Kind::Nutrition => {
                self.read(ReadListedNutrition { user_id, kind, unlisted, metrics }).await?
            }
            Kind::Labs => self.read(ReadListedLabs { user_id, kind, unlisted, metrics }).await?,
        };
        let listed = |(raw_id, reason, date, is_there)| Listed { raw_id, reason, date, is_there };
        Ok(rows.into_iter().map(listed).collect())
    }

    /// Lists the rejected rows among the given ones, and removes the others from the list.
    pub fn record_verdicts(&mut self, verdicts: &[Verdict]) {
        let (user_id, kind) = (self.user_id(), self.kind().name());
        let rejected =
            verdicts.iter().filter_map(|verdict| Some((verdict.raw_id, verdict.reason?.code())));
        let (raw_ids, reasons): (Vec<i64>, Vec<&'static str>) = rejected.unzip();
        if !raw_ids.is_empty() {
            self.write(ListRejected { user_id: user_id.clone(), kind, raw_ids, reasons });
        }
        let accepted = verdicts.iter().filter(|verdict| verdict.reason.is_none());
        let raw_ids: Vec<i64> = accepted.map(|verdict| verdict.raw_id).collect();
        if !raw_ids.is_empty() {
            self.write_part("unlisted", UnlistRejected { user_id, kind, raw_ids });
        }
    }
}
