//! The PostgreSQL code of Dayfold: schema, pool, queue, raw rows and figures.
//!
//! [`Store::claim`] claims a batch and commits the claim at once. Then each group has a transaction of
//! its own, [`Store::begin_group`]. It locks the user, reads, writes and finishes the claimed rows,
//! guarded by the lease token.

mod admin;
mod backoff;
mod changes;
mod connection;
mod error;
mod kinds;
mod outbox;
mod page;
mod pool;
mod profiles;
mod queue;
mod schema;
mod snapshot;
mod sql;
mod transaction;
mod user_days;
mod verify;

use sql::{cte, raw_text, statement, time};

pub use admin::adopt::{
    Adoption, AdoptionSql, AdoptionState, AdoptionStep, AppTable, CheckedMapping, MappedFrom,
    Mapping, mappable_columns, required_columns,
};
pub use admin::budget::Budget;
pub use admin::citus::{Citus, CitusProblem};
pub use admin::control::{PausedKind, Throttled};
pub use admin::directory::{DirectoryError, Listed as ListedTarget, read_directory};
pub use admin::examine::{Examination, MissingRights, TriggerFault};
pub use admin::freeze::FrozenFigures;
pub use admin::import::{ImportError, ImportRow, Importer, ProfileRow, raw_columns};
pub use admin::migrate::{MigrateError, MigrateOptions, Migrated, migrate, migrate_with};
pub use admin::raw_rows::RawRows;
pub use admin::schema_state::{Elsewhere, NamesTaken, SchemaState, schema_state};
pub use admin::sessions::{OldTransaction, Sessions};
pub use admin::status::{
    Backlog, Failure, KindStatus, MAX_FAILED_SETS, MAX_GROUPS, MAX_REJECTED_READ, QueueAge,
    Rejected, Run, RunCounts, Status,
};
pub use admin::trial::Trial;
pub use backoff::{Backoff, DRAIN_RETRIES};
pub use changes::{FigureChange, TakenChanges, UnsentChanges};
#[doc(hidden)]
pub use connection::connect::Connected;
pub use connection::connect::{ConnectionPlan, check_url, connection_plan};
pub use connection::libpq::Variables;
pub use connection::server_budget::ServerBudgets;
pub use connection::session::{Pooler, SessionSettings};
pub use connection::url::Endpoint;
pub use error::{ConnectError, ErrorClass, ServerError, StoreError};
pub use kinds::day_end::{EndedDays, FutureRows};
pub use outbox::{Alert, AlertCondition, Outbox, TakenAlert};
pub use page::{
    ActionState, Batches, FailureFilter, FiringAlert, OperatorAction, Presence, Reading,
    RunningBatch, Server, Worker,
};
pub use pool::{Drains, Looks, PoolHealth, PoolSettings, PoolStats, Store};
pub use profiles::{Profile, ProfileVersion};
pub use queue::rejected::{Listed, Verdict};
pub use queue::requeue::{RequeueSelection, RequeueStep, Requeuer};
pub use queue::retry::RetryPolicy;
pub use queue::{
    ChangeSet, ChangedRow, Claim, ClaimFrom, Failed, Holder, MOST_IN_A_SET, SetOfGroup,
};
pub use sql::timeout::with_timeout;
pub use transaction::failpoint::CRASH_VARIABLE;
pub use transaction::{GroupTransaction, Progress, ReadMode, UnsentCommit};
pub use user_days::{
    BloodPressureDay, DayRow, DaysBefore, GlucoseDay, LabName, LabResults, MOST_PROFILE_DAYS,
    MealEnergy, NutritionSums, PeriodLength, RejectedRows, ReportDates, SleepNight, UserDays,
    UserReport, VitalDay, VitalHour, Waiting,
};
pub use verify::comparison::{Difference, RowKey};
pub use verify::inventory::{FigureCounts, Inventory, Pending, RawDate, UserKinds};
pub use verify::session::VerifySession;
