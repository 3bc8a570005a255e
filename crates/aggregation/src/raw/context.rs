//! The inputs of the figures of vitals other than raw rows.

use crate::ALGORITHM_VERSION;
use crate::catalogue::{Catalogue, Metric};
use crate::fingerprint::Fingerprint;
use crate::zones::BaseZone;

/// The inputs of a user's figures other than raw rows.
#[derive(Debug)]
pub struct Context<'a> {
    /// Metrics, units, limits.
    pub catalogue: &'a Catalogue,
    /// The zone of rows that name none.
    pub base_zone: &'a BaseZone,
    /// The profile's order of sources, best first; [folded](crate::fold_source), as those of rows are.
    pub source_order: &'a [String],
}

impl Context<'_> {
    /// A digest of all inputs of the figures of `metric` except the raw rows. It is stored with
    /// each day: hours computed under another context are never mixed with new ones.
    pub fn fingerprint(&self, metric: &Metric) -> i64 {
        let mut digest = Fingerprint::new();
        digest.integer(ALGORITHM_VERSION as u64).integer(metric.fingerprint());
        digest.text(&self.base_zone.as_ref().map_or_else(|_| String::new(), ToString::to_string));
        for source in self.source_order {
            digest.text(source);
        }
        digest.finish().cast_signed()
    }
}
