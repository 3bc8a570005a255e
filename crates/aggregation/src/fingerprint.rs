//! A short stable digest of the inputs of a figure.

/// FNV-1a over 64 bits (Fowler, Noll, Vo; draft-eastlake-fnv). The digest is stored with figures,
/// so it must not change with the compiler, as the standard library's hasher may. It detects
/// changes; it is no protection against forgery.
#[derive(Debug)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The digest of no input.
    #[must_use]
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds a text. The digest separates texts: `ab`, `c` and `a`, `bc` differ.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes()).bytes(&[0xff])
    }

    /// Adds a number by its bits.
    pub fn number(&mut self, number: f64) -> &mut Self {
        self.bytes(&number.to_bits().to_le_bytes())
    }

    /// Adds an integer.
    pub fn integer(&mut self, integer: u64) -> &mut Self {
        self.bytes(&integer.to_le_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self
    }

    /// The digest.
    pub const fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_published_test_vector() {
        let mut fingerprint = Fingerprint::new();
        fingerprint.bytes(b"foobar");
        assert_eq!(fingerprint.finish(), 0x8594_4171_f739_67e8);
    }
}
