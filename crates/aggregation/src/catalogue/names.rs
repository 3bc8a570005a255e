//! Names as they are compared.

/// Lower case, single spaces, none around.
pub(crate) fn tidy_name(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}
