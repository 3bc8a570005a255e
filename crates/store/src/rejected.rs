//! The list of rejected rows.

use aggregation::Reason;
use diesel::sql_types::{Array, BigInt, Text};

use crate::statement::statement;
use crate::transaction::GroupTransaction;

/// What became of a claimed raw row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The raw row.
    pub raw_id: i64,
    /// Why it takes no part in the figures; `None` if it does, or is deleted.
    pub reason: Option<Reason>,
}

statement! {
    struct ListRejected {
        user_id: i64 => BigInt,
        kind: &'static str => Text,
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
    struct UnlistRejected {
        user_id: i64 => BigInt,
        kind: &'static str => Text,
        raw_ids: Vec<i64> => Array<BigInt>,
    } -> ()
    "DELETE FROM rejected_rows
     WHERE user_id = {user_id} AND kind = {kind} AND raw_id = ANY ({raw_ids})"
}

impl GroupTransaction<'_> {
    /// Lists the rejected rows among those judged, and takes the others off the list.
    pub fn record_verdicts(&mut self, verdicts: &[Verdict]) {
        let (user_id, kind) = (self.user_id(), self.kind().name());
        let rejected =
            verdicts.iter().filter_map(|verdict| Some((verdict.raw_id, verdict.reason?.code())));
        let (raw_ids, reasons): (Vec<i64>, Vec<&'static str>) = rejected.unzip();
        if !raw_ids.is_empty() {
            self.write(ListRejected { user_id, kind, raw_ids, reasons });
        }
        let accepted = verdicts.iter().filter(|verdict| verdict.reason.is_none());
        let raw_ids: Vec<i64> = accepted.map(|verdict| verdict.raw_id).collect();
        if !raw_ids.is_empty() {
            self.write_part("unlisted", UnlistRejected { user_id, kind, raw_ids });
        }
    }
}
