//! What several tests of vitals share.

pub(crate) mod rows;
