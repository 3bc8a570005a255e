//! Everything that knows PostgreSQL: the schema, the pool, the queue, raw rows and figures.
//!
//! Its public face is a few verbs of the domain. A batch is taken by [`Store::claim`] and
//! committed at once; then each group has a transaction of its own, [`Store::begin_group`],
//! which locks the user, reads, writes and finishes the claimed rows, guarded by the lease
//! token.

mod address;
mod alerts;
mod autocommit;
mod blood_pressure;
mod budget;
mod comparison;
mod connect;
mod crash;
mod cte;
mod day_end;
mod day_rows;
mod dial;
mod error;
mod examine;
mod explain;
mod figures;
mod glucose;
mod import;
mod inventory;
mod lab_neighbours;
mod labs;
mod migrate;
mod nutrition;
mod other_dates;
mod page;
mod pool;
mod probe;
mod profiles;
mod queue;
mod queued_rows;
mod raw_text;
mod raw_vital;
mod reach;
mod rejected;
mod requeue;
mod retry;
mod schema_state;
mod session;
mod sessions;
mod shadow;
mod sleep;
mod snapshot;
mod sql_file;
mod statement;
mod status;
mod surroundings;
mod time;
mod tls;
mod transaction;
mod trial;
mod user_days;
mod vitals;
mod wire;

pub use address::Place;
pub use alerts::{Alert, AlertCondition, Outbox, TakenAlert};
pub use budget::Budget;
pub use comparison::{Difference, RowKey};
#[doc(hidden)]
pub use connect::Connected;
pub use connect::{Way, check_url, way};
pub use crash::CRASH_VARIABLE;
pub use day_end::{EndedDays, FutureRows};
pub use error::{ConnectError, ErrorClass, ServerError, StoreError};
pub use examine::{Examination, MissingRights, TriggerFault};
pub use figures::{BloodPressureFigures, FigureCounts, LabFigures, NutritionFigures, VitalFigures};
pub use import::{ImportError, ImportRow, Importer, ProfileRow, raw_columns};
pub use inventory::{Inventory, Pending, RawDate, UserKinds};
pub use migrate::{MigrateError, Migrated, migrate, migrate_beside};
pub use page::{
    ActionState, FailureFilter, FiringAlert, OperatorAction, PausedKind, Presence, Reading, Server,
    Throttled, Worker,
};
pub use pool::{PoolHealth, PoolSettings, PoolStats, Store};
pub use profiles::{Profile, ProfileVersion};
pub use queue::{ChangeSet, ChangedRow, Claim, ClaimFrom, Failed, MOST_IN_A_SET, SetOfGroup};
pub use rejected::{Listed, Verdict};
pub use requeue::{RequeueSelection, Requeuer};
pub use retry::RetryPolicy;
pub use schema_state::{Elsewhere, NamesTaken, SchemaState, schema_state};
pub use session::{Pooler, SessionSettings};
pub use sessions::{OldTransaction, Sessions};
pub use shadow::Shadow;
pub use status::{
    Backlog, Failure, KindStatus, MAX_FAILED_SETS, MAX_GROUPS, MAX_REJECTED_READ, Rejected, Run,
    RunCounts, Status,
};
pub use surroundings::Variables;
pub use transaction::{FailedWrite, GroupTransaction, UnsentCommit};
pub use trial::Trial;
pub use user_days::{
    BloodPressureDay, DayRow, GlucoseDay, LabName, LabResults, MealEnergy, NutritionSums,
    RejectedRows, SleepNight, UserDays, VitalDay, VitalHour, Waiting,
};
