//! Percentiles from a mergeable sketch.
//!
//! DDSketch (Masson, Rim, Lee 2019) keeps integer counts in logarithmic bins. So hours are merged
//! into a day without raw rows and in any order. Its relative error is at most 1 %.

use sketches_ddsketch::DDSketch;

use crate::fingerprint::Fingerprint;

/// The percentiles that every discrete figure has.
pub const PERCENTILES: [f64; 5] = [5.0, 25.0, 50.0, 75.0, 95.0];

/// A sketch of the distribution of samples.
///
/// Its limits are the library's defaults: 1 % relative error, 2048 bins (a range of 1 : 6e17 before
/// the smallest are merged), values below 1e-9 count as zero. A sketch that is read back always has
/// these defaults, and merges only with sketches that have them.
#[derive(Clone, Default)]
pub struct Sketch(DDSketch);

/// The stored bytes are not a sketch that [`Sketch::to_bytes`] wrote.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored percentile sketch is damaged")]
pub struct DamagedSketch;

impl std::fmt::Debug for Sketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sketch").field("count", &self.0.count()).finish()
    }
}

impl Sketch {
    /// Adds one sample.
    pub fn add(&mut self, value: f64) {
        self.0.add(value);
    }

    /// Adds the samples of another sketch.
    ///
    /// # Errors
    /// The other sketch has another error bound, so it does not come from this module.
    pub fn merge(&mut self, other: &Self) -> Result<(), DamagedSketch> {
        self.0.merge(&other.0).map_err(|_| DamagedSketch)
    }

    /// The sketch as stored with an hour's figures.
    ///
    /// A digest precedes it, because the library does not check the bytes that it decodes: damaged
    /// counts overflow, and it panics.
    pub fn to_bytes(&self) -> Vec<u8> {
        let sketch = self.0.to_java_bytes();
        [digest(&sketch).as_slice(), &sketch].concat()
    }

    /// Reads a sketch that [`Sketch::to_bytes`] wrote.
    ///
    /// # Errors
    /// The bytes are not such a sketch.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DamagedSketch> {
        let (stored, sketch) = bytes.split_first_chunk().ok_or(DamagedSketch)?;
        if *stored != digest(sketch) {
            return Err(DamagedSketch);
        }
        DDSketch::from_java_bytes(sketch).map(Self).map_err(|_| DamagedSketch)
    }

    /// The [`PERCENTILES`] of samples whose minimum and maximum are known exactly, with linear
    /// interpolation between neighbouring ranks (Hyndman & Fan 1996, type 7, as PostgreSQL's
    /// `percentile_cont`); `None` without samples.
    pub fn percentiles(&self, min: f64, max: f64) -> Option<[f64; 5]> {
        let last_rank = (self.0.count() as u64).checked_sub(1)?;
        Some(PERCENTILES.map(|percent| {
            let position = last_rank as f64 * percent / 100.0;
            let (below, share) = (position.floor(), position.fract());
            let low = self.at_rank(below as u64, last_rank, min, max);
            let value = if share == 0.0 {
                low
            } else {
                low + (self.at_rank(below as u64 + 1, last_rank, min, max) - low) * share
            };
            value.clamp(min, max)
        }))
    }

    fn at_rank(&self, rank: u64, last_rank: u64, min: f64, max: f64) -> f64 {
        if rank == 0 {
            return min;
        }
        if rank >= last_rank {
            return max;
        }
        // The library truncates quantile × (count − 1) to a rank; the half keeps rounding from
        // yielding the rank below.
        let quantile = (rank as f64 + 0.5) / last_rank as f64;
        self.0.quantile(quantile).ok().flatten().unwrap_or(max)
    }
}

fn digest(bytes: &[u8]) -> [u8; 4] {
    let mut digest = Fingerprint::new();
    for byte in bytes {
        digest.integer(u64::from(*byte));
    }
    // The lower half is enough against accidental damage.
    (digest.finish() as u32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn type_7(sorted: &[f64], percent: f64) -> f64 {
        let position = (sorted.len() - 1) as f64 * percent / 100.0;
        let below = sorted[position.floor() as usize];
        let above = sorted[position.ceil() as usize];
        below + (above - below) * position.fract()
    }

    proptest! {
        #[test]
        fn percentiles_are_within_one_percent_however_the_samples_are_split(
            values in prop::collection::vec(0.01f64..5000.0, 1..300),
            cuts in prop::collection::vec(0usize..300, 0..6),
        ) {
            let mut merged = Sketch::default();
            let mut part = Sketch::default();
            for (index, value) in values.iter().enumerate() {
                if cuts.contains(&index) {
                    merged.merge(&Sketch::from_bytes(&part.to_bytes()).unwrap()).unwrap();
                    part = Sketch::default();
                }
                part.add(*value);
            }
            merged.merge(&part).unwrap();

            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let found = merged.percentiles(sorted[0], sorted[sorted.len() - 1]).unwrap();
            for (percent, found) in PERCENTILES.iter().zip(found) {
                let exact = type_7(&sorted, *percent);
                prop_assert!((found - exact).abs() <= 0.0100001 * exact, "{found} {exact}");
            }
        }

        #[test]
        fn damaged_bytes_are_an_error_but_never_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            place in any::<prop::sample::Index>(),
            bit in 0u32..8,
        ) {
            prop_assert_eq!(Sketch::from_bytes(&bytes).err(), Some(DamagedSketch));
            let mut sketch = Sketch::default();
            sketch.add(61.0);
            let mut bytes = sketch.to_bytes();
            *place.get_mut(&mut bytes) ^= 1 << bit;
            prop_assert_eq!(Sketch::from_bytes(&bytes).err(), Some(DamagedSketch));
        }

        #[test]
        fn any_bytes_are_a_sketch_or_are_called_damaged(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Ok(sketch) = Sketch::from_bytes(&bytes) {
                prop_assert_eq!(sketch.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn no_samples_have_no_percentiles() {
        assert_eq!(Sketch::default().percentiles(0.0, 0.0), None);
    }

    #[test]
    fn zeros_and_negative_values_have_a_rank_too() {
        let mut sketch = Sketch::default();
        for value in [-10.0, 0.0, 10.0] {
            sketch.add(value);
        }
        assert_eq!(sketch.percentiles(-10.0, 10.0).map(|p| p[2]), Some(0.0));
    }
}
