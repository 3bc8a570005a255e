//! The lock that a group takes before it reads.

use aggregation::{Kind, UserId};
use diesel::query_builder::QueryId;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::sql::cte::CteStatement;
use crate::sql::statement::statement;

statement! {
    /// Waits until no other worker processes the same user.
    ///
    /// The lock's key contains the queue. So workers on different schemas of one database do not block
    /// each other, and workers on the same schema do, with any search_path. A hash collision only costs
    /// a wait. The group's last statement identifies its transaction by the setting.
    struct LockUser {
        kind: &'static str => Text,
        number: Option<i64> => Nullable<BigInt>,
        text: Option<String> => Nullable<Text>,
    } -> ()
    "SELECT set_config('dayfold.group', 'begun', true), pg_advisory_xact_lock(
         hashtext('dayfold ' || {kind} || ' ' || 'aggregation_queue'::regclass::oid), coalesce(hashint8({number}), hashtext({text})))"
}

/// The id in the form from which the key of the user's lock is computed.
pub(crate) fn lock_key(user_id: &UserId) -> (Option<i64>, Option<String>) {
    match user_id {
        UserId::Bigint(number) => (Some(*number), None),
        UserId::Uuid(_) | UserId::Text(_) => (None, Some(user_id.to_string())),
    }
}

pub(super) fn lock_user(kind: Kind, user_id: &UserId) -> CteStatement {
    let (number, text) = lock_key(user_id);
    CteStatement::alone(
        LockUser::query_id(),
        Box::new(LockUser { kind: kind.name(), number, text }),
    )
}
