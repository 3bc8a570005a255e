//! The list of rejected rows.

use aggregation::{Kind, Reason};
use diesel::sql_types::{Array, BigInt, Text};

use crate::error::StoreError;
use crate::statement::statement;
use crate::transaction::{GroupTransaction, if_any, together2};

/// What became of a claimed raw row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The raw row.
    pub raw_id: i64,
    /// Why it takes no part in the figures; `None` if it does, or is deleted.
    pub reason: Option<Reason>,
}

statement! {
    struct ListRejected<'a> {
        user_id: i64 => BigInt,
        kind: &'a str => Text,
        raw_ids: Vec<i64> => Array<BigInt>,
        reasons: Vec<&'static str> => Array<Text>,
    } -> ()
    // The time of first sight stays, also when the reason changes.
    "INSERT INTO rejected_rows (user_id, kind, raw_id, reason)
     SELECT {user_id}, {kind}, raw_id, reason
     FROM unnest({raw_ids}::bigint[], {reasons}::text[]) AS rejected (raw_id, reason)
     ON CONFLICT (user_id, kind, raw_id) DO UPDATE SET reason = excluded.reason
     WHERE rejected_rows.reason <> excluded.reason"
}

statement! {
    struct UnlistRejected<'a> {
        user_id: i64 => BigInt,
        kind: &'a str => Text,
        raw_ids: Vec<i64> => Array<BigInt>,
    } -> ()
    "DELETE FROM rejected_rows
     WHERE user_id = {user_id} AND kind = {kind} AND raw_id = ANY ({raw_ids})"
}

impl GroupTransaction<'_> {
    /// Lists the rejected rows among those judged, and takes the others off the list.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn record_verdicts(&mut self, verdicts: &[Verdict]) -> Result<(), StoreError> {
        let (list, unlist) = recording(verdicts, self.kind(), self.user_id());
        let shared = self.shared();
        together2(if_any(list, shared), if_any(unlist, shared)).await?;
        Ok(())
    }
}

/// Lists the rejected rows among those judged; takes the others off the list.
pub(crate) fn recording(
    verdicts: &[Verdict],
    kind: Kind,
    user_id: i64,
) -> (Option<ListRejected<'static>>, Option<UnlistRejected<'static>>) {
    let kind = kind.name();
    let rejected =
        verdicts.iter().filter_map(|verdict| Some((verdict.raw_id, verdict.reason?.code())));
    let (raw_ids, reasons): (Vec<i64>, Vec<&'static str>) = rejected.unzip();
    let list = ListRejected { user_id, kind, raw_ids, reasons };
    let accepted = verdicts.iter().filter(|verdict| verdict.reason.is_none());
    let raw_ids = accepted.map(|verdict| verdict.raw_id).collect();
    let unlist = UnlistRejected { user_id, kind, raw_ids };
    let (some_rejected, some_accepted) = (!list.raw_ids.is_empty(), !unlist.raw_ids.is_empty());
    (some_rejected.then_some(list), some_accepted.then_some(unlist))
}
