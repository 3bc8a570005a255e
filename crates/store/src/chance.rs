//! A little chance, so that many do not do the same at the same moment.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A number from 0 to 1 that is another one each time. Good enough to spread what would meet; no
/// figure ever depends on it.
pub fn chance() -> f64 {
    f64::from(RandomState::new().build_hasher().finish() as u16) / 65_536.0
}

/// A token of 63 bits that no other claim has: the hasher's keys come from the system's generator of random
/// numbers.
pub(crate) fn random_token() -> i64 {
    (RandomState::new().build_hasher().finish() >> 1) as i64
}

#[cfg(test)]
mod tests {
    #[test]
    fn chance_lies_between_0_and_1_and_differs() {
        let numbers: Vec<f64> = (0..100).map(|_| super::chance()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        assert!(numbers.iter().any(|number| number.to_bits() != numbers[0].to_bits()));
    }
}
