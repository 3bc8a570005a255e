//! Raw rows and figures of each kind.

pub(crate) mod blood_pressure;
pub(crate) mod daily;
pub(crate) mod day_end;
pub(crate) mod glucose;
pub(crate) mod labs;
pub(crate) mod nutrition;
pub(crate) mod other_dates;
pub(crate) mod raw_vital;
pub(crate) mod sleep;
pub(crate) mod vitals;
