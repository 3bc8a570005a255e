//! The daily figures as pure functions of raw rows, the profile and the catalogue.
//!
//! The crate reads no clock, file or database. No figure depends on the order in which rows
//! arrived: every sum runs in an order that the facts give, or is exact. So the worker can
//! recompute a figure after a crash, a correction or a late row and gets the same bits.

pub mod blood_pressure;
pub mod catalogue;
pub mod fingerprint;
pub mod glucose;
pub mod kind;
pub mod labs;
pub mod local_time;
pub mod nutrition;
pub mod raw;
pub mod rejection;
mod shared_str;
pub mod sleep;
pub mod text;
pub mod timestamp;
pub mod units;
mod user_id;
pub mod vitals;
pub mod zones;

pub use kind::Kind;
pub use raw::fold_source;
pub use rejection::Reason;
pub use shared_str::SharedStr;
pub use timestamp::Timestamp;
pub use user_id::{InvalidUserId, UserId, UserIdType};

/// The version of the definitions of vitals, stored with every day's figures. It is raised whenever
/// a definition changes, or the bits of a figure do. [Labs](labs::ALGORITHM_VERSION) and
/// [nutrition](nutrition::ALGORITHM_VERSION) have versions of their own.
/// - 2: equal samples have no standard deviation.
/// - 3: a rejected row replaces the one before it. Episodes of glucose over midnight. Sessions of
///   sleep longer than a day. Pairs of blood pressure with ever smaller distances.
/// - 4: units as senders write them. Source names are folded. An instant counts if its row is the
///   best one open. Rejected rows alone date their day. A short recording no longer decides a
///   night, and an instant of sleep has one state. Coverage of glucose by the interval of each
///   source, and ranges in the unit of the row.
/// - 5: readings of glucose that are sent again minutes later no longer change the interval of
///   their source; the hours of an interval add up to its value.
pub const ALGORITHM_VERSION: i32 = 5;
