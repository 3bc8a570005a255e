//! Names of sources.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

/// Normalizes the name of a source for comparison and storage: Unicode compatibility folding
/// (NFKC), trimmed, with single spaces. Apple writes `Anna’s Apple Watch` with a no-break space,
/// and people type a profile's list of sources by hand.
pub fn fold_source(name: &str) -> Cow<'_, str> {
    let is_folded = name.is_ascii()
        && name.trim_ascii() == name
        && !name.contains("  ")
        && !name.contains(|c: char| c.is_ascii_control());
    if is_folded {
        return name.into();
    }
    let folded: String = name.nfkc().collect();
    folded.split_whitespace().collect::<Vec<_>>().join(" ").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_one() {
        for (name, folded) in [
            ("Anna Apple\u{a0}Watch", "Anna Apple Watch"),
            (" Anna  Apple\tWatch\n", "Anna Apple Watch"),
            ("Anna\u{3000}Apple\u{2009}Watch", "Anna Apple Watch"),
            ("Ａｐｐ", "App"),
            ("Cafe\u{301}", "Caf\u{e9}"),
            ("Anna’s Watch", "Anna’s Watch"),
            ("watch", "watch"),
            ("Watch", "Watch"),
            (" ", ""),
        ] {
            assert_eq!(fold_source(name), folded, "{name:?}");
            assert_eq!(fold_source(folded), folded, "{name:?}");
        }
    }
}
