//! The nutrients of the catalogue: the plausible amounts of each in one row.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::CatalogueError;
use super::names::NUTRIENTS;
use crate::fingerprint::Fingerprint;

/// The plausible limits of every nutrient, in the order and the units of [`NUTRIENTS`].
#[derive(Clone, Debug, PartialEq)]
pub struct Nutrients {
    limits: [Limits; NUTRIENTS.len()],
}

/// The lowest and the highest plausible amount of a nutrient in one row, both included.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The lowest plausible amount, in the nutrient's unit.
    pub min: f64,
    /// The highest plausible amount, in the nutrient's unit.
    pub max: f64,
}

impl Nutrients {
    /// Builds the limits from the entries of the file; a nutrient without an entry has no limits.
    pub(super) fn from_entries(entries: &BTreeMap<String, Limits>) -> Result<Self, CatalogueError> {
        let mut limits = [Limits { min: 0.0, max: f64::MAX }; NUTRIENTS.len()];
        for (name, entry) in entries {
            let known = NUTRIENTS.iter().zip(&mut limits).find(|(nutrient, _)| *nutrient == name);
            let Some((_, limit)) = known else {
                return Err(CatalogueError::NoNutrient { nutrient: name.clone() });
            };
            let Limits { min, max } = *entry;
            if !(min.is_finite() && max.is_finite() && 0.0 <= min && min < max) {
                return Err(CatalogueError::NutrientLimits { nutrient: name.clone(), min, max });
            }
            *limit = *entry;
        }
        Ok(Self { limits })
    }

    /// Whether each known amount is within the limits of its nutrient.
    pub fn are_plausible(&self, amounts: &[Option<f64>; NUTRIENTS.len()]) -> bool {
        amounts.iter().zip(&self.limits).all(|(amount, limits)| {
            amount.is_none_or(|amount| limits.min <= amount && amount <= limits.max)
        })
    }

    /// Each nutrient with its limits.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Limits)> {
        NUTRIENTS.into_iter().zip(self.limits)
    }

    /// A digest of all limits.
    pub fn fingerprint(&self) -> i64 {
        let mut digest = Fingerprint::new();
        for limits in &self.limits {
            digest.number(limits.min).number(limits.max);
        }
        digest.finish().cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    #[test]
    fn the_built_in_catalogue_limits_every_nutrient() {
        let catalogue = Catalogue::built_in().unwrap();
        for (name, limits) in catalogue.nutrients().iter() {
            assert!(limits.min == 0.0 && limits.max <= 500_000.0, "{name} {limits:?}");
        }
    }

    #[test]
    fn a_users_limit_replaces_one_and_changes_the_fingerprint() {
        let built_in = Catalogue::built_in().unwrap();
        let own = Catalogue::extended_by("[nutrients.energy_kcal]\nmax = 900\n").unwrap();
        let of = |catalogue: &Catalogue, kcal: f64| {
            let mut amounts = [None; NUTRIENTS.len()];
            amounts[0] = Some(kcal);
            catalogue.nutrients().are_plausible(&amounts)
        };
        assert!(of(&built_in, 901.0) && of(&own, 900.0) && of(&own, 0.0));
        assert!(!of(&own, 901.0) && !of(&own, -1.0) && !of(&built_in, 500_000.0));
        assert_ne!(built_in.nutrients().fingerprint(), own.nutrients().fingerprint());
        assert!(own.is_own("energy_kcal"));
        let same = Catalogue::extended_by("").unwrap();
        assert_eq!(built_in.nutrients().fingerprint(), same.nutrients().fingerprint());
    }

    #[test]
    fn limits_that_cannot_be_used_are_named_with_their_line() {
        for (text, line, what) in [
            ("\n[nutrients.ambrosia]\nmin = 0\nmax = 1\n", 2, "nutrients.ambrosia is none of"),
            ("[nutrients]\nfat_g = { max = -1 }\n", 2, "nutrients.fat_g: min 0 and max -1"),
            ("[nutrients.fat_g]\nmin = -1\n", 2, "nutrients.fat_g: min -1 and max"),
            ("[nutrients.fat_g]\nmax = inf\n", 2, "nutrients.fat_g"),
            ("[nutrients.fat_g]\nmost = 1\n", 2, "unknown field `most`"),
        ] {
            let error = Catalogue::extended_by(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("catalogue, line {line}: ")), "{error}");
            assert!(error.contains(what), "{error}");
        }
    }
}
