//! What a misspelt name most likely means.

use strsim::damerau_levenshtein;

use super::setting::Setting;

/// Enough for every valid name, and a bound on what a problem prints and compares.
const MAX_SHOWN_CHARS: usize = 64;

/// An edit for every three letters is a slip; more is another word.
const LETTERS_PER_SLIP: usize = 3;

/// A name of fewer letters is part of too many others.
const MIN_PART_CHARS: usize = 3;

/// What the names of all times end with.
const UNIT: &str = "_seconds";

/// Keys that have another name now.
const RENAMED: [(&str, &str); 1] = [("batch.at_once", "batch.concurrency")];

/// The setting that the unknown dotted key most likely means.
pub(super) fn nearest_setting<'a>(unknown: &str, settings: &'a [Setting]) -> Option<&'a Setting> {
    let near = nearest_key(unknown, settings.iter().map(|setting| setting.key.as_str()))?;
    settings.iter().find(|setting| setting.key == near)
}

/// The dotted key among `keys` that the unknown one most likely means.
pub(super) fn nearest_key<'a>(
    unknown: &str,
    keys: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let renamed = RENAMED.into_iter().find_map(|(old, new)| (old == unknown).then_some(new));
    let unknown = renamed.unwrap_or(unknown);
    let (section, name) = unknown.split_once('.').unwrap_or(("", unknown));
    keys.into_iter()
        .filter_map(|key| {
            let (its_section, its_name) = key.split_once('.')?;
            let rank = if its_section == section {
                slip(name, its_name)
            } else if its_name == name {
                // The right name in the wrong section, unless its own has one as near.
                Some((2, 0))
            } else {
                slip(unknown, key)
            };
            rank.map(|rank| (rank, key))
        })
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, key)| key)
}

/// The name among `valid` that the unknown one most likely means.
pub(super) fn nearest_name<'a>(
    unknown: &str,
    valid: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    valid
        .into_iter()
        .filter_map(|name| slip(unknown, name).map(|rank| (rank, name)))
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, name)| name)
}

/// How far the names are apart, if one may be meant by the other: the smaller, the likelier. A lost
/// unit, or any other word lost or added, counts as one edit.
fn slip(unknown: &str, valid: &str) -> Option<(usize, usize)> {
    let whole = damerau_levenshtein(unknown, valid);
    let edits = match valid.strip_suffix(UNIT) {
        Some(bare) => whole.min(1 + damerau_levenshtein(unknown, bare)),
        None => whole,
    };
    let length = unknown.chars().count();
    let part = length >= MIN_PART_CHARS && (valid.contains(unknown) || unknown.contains(valid));
    if edits * LETTERS_PER_SLIP <= length {
        Some((edits, whole))
    } else {
        part.then_some((1, whole))
    }
}

/// A foreign dotted key as it may be printed.
pub(super) fn printable_key(key: &str) -> String {
    match key.split_once('.') {
        Some((section, name)) => format!("{}.{}", printable(section), printable(name)),
        None => printable(key),
    }
}

/// A foreign name as it may be printed: up to the first character that no valid name has, because
/// behind it may stand a value that was meant for elsewhere.
pub(super) fn printable(name: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut shown: String = name.chars().take(MAX_SHOWN_CHARS).take_while(plain).collect();
    if shown.len() < name.len() || shown.is_empty() {
        shown.push('…');
    }
    shown
}
