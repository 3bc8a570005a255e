//! Writes of figures, and the record of the dates that they change.

use std::any::TypeId;

use chrono::NaiveDate;
use diesel::pg::Pg;
use diesel::query_builder::{QueryFragment, QueryId};
use diesel::sql_types::Bool;

use super::{Deferred, GroupTransaction};
use crate::changes::record::RecordChanges;
use crate::cte::{AnyStatement, CteStatement};
use crate::statement::statement;

statement! {
    /// The end of a statement of which only the parts matter.
    struct Nothing {} -> (Bool)
    "SELECT true WHERE false"
}

impl GroupTransaction<'_> {
    /// Defers a statement that writes figures. It becomes part of another statement as with
    /// [`GroupTransaction::write_part`]. `changed` is a query for the dates whose figures it changes; it names the
    /// part. If figures are only computed, nothing is written: no stored figure was in view, so there is nothing to
    /// delete or to correct.
    pub(crate) fn write_figures<S>(
        &mut self,
        part: &'static str,
        statement: S,
        changed: &'static str,
    ) where
        S: QueryFragment<Pg> + QueryId + Send + Sync + 'static,
    {
        if !self.only_computes() {
            self.defer(statement, Some(part), Some(changed), None);
        }
    }

    /// Notes dates whose figures have changed by a statement that was sent already.
    pub(crate) fn note_changed(&mut self, dates: impl IntoIterator<Item = NaiveDate>) {
        if self.records_changes {
            self.changed_dates.extend(dates);
        }
    }

    /// Takes all deferred writes, in the order in which they are sent.
    pub(super) fn take_writes(&mut self) -> Vec<CteStatement> {
        let (mut sent, mut parts) = (Vec::new(), Vec::<Deferred>::new());
        for write in std::mem::take(&mut self.writes) {
            if write.part.is_none() || self.is_distributed {
                sent.extend(self.combine(std::mem::take(&mut parts)));
                sent.push(CteStatement::alone(write.id, write.statement));
            } else {
                self.add_part(write, &mut parts, &mut sent);
            }
        }
        sent.extend(self.combine(parts));
        sent
    }

    /// Takes the deferred writes: those that must be sent first, and parts for the statement behind them. No part
    /// depends on another write.
    pub(super) fn split_writes(&mut self) -> (Vec<CteStatement>, Vec<Deferred>) {
        let (mut sent, mut parts) = (Vec::new(), Vec::<Deferred>::new());
        for write in std::mem::take(&mut self.writes) {
            if write.part.is_none() {
                sent.push(CteStatement::alone(write.id, write.statement));
            } else {
                self.add_part(write, &mut parts, &mut sent);
            }
        }
        (sent, parts)
    }

    /// Adds a part. Parts of one statement have different names, so the others are sent before if one has its name.
    fn add_part(&self, part: Deferred, parts: &mut Vec<Deferred>, sent: &mut Vec<CteStatement>) {
        if parts.iter().any(|other| other.part == part.part) {
            sent.extend(self.combine(std::mem::take(parts)));
        }
        parts.push(part);
    }

    /// Parts as statements without a group's end. Those that return rows are combined, so that the server does not
    /// send the rows.
    fn combine(&self, parts: Vec<Deferred>) -> Vec<CteStatement> {
        if parts.iter().all(|part| part.changed.is_none()) {
            let alone = parts.into_iter().map(|part| CteStatement::alone(part.id, part.statement));
            return alone.collect();
        }
        let nothing: (TypeId, AnyStatement) = (TypeId::of::<Nothing>(), Box::new(Nothing {}));
        let (id, last) = self.record(&parts, Vec::new()).unwrap_or(nothing);
        let mut statement = CteStatement::alone(Some(id), last);
        parts.into_iter().for_each(|part| part.add_to(&mut statement));
        vec![statement]
    }

    /// The statement that records the dates changed by parts, and given dates; `None` if none can have changed.
    pub(super) fn record(
        &self,
        parts: &[Deferred],
        dates: Vec<NaiveDate>,
    ) -> Option<(TypeId, AnyStatement)> {
        let queries: Vec<&'static str> = parts.iter().filter_map(|part| part.changed).collect();
        if !self.records_changes || (queries.is_empty() && dates.is_empty()) {
            return None;
        }
        let (user_id, kind) = (self.user_id.clone(), self.kind.name());
        let record = RecordChanges { user_id, kind, dates, queries };
        Some((RecordChanges::id(), Box::new(record)))
    }
}

impl Deferred {
    /// Makes it a part of a statement.
    pub(super) fn add_to(self, statement: &mut CteStatement) {
        statement.add(self.part.unwrap_or_default(), self.id, self.statement);
    }
}
