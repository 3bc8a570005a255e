//! Finds the most likely meaning of a misspelt name.

use strsim::damerau_levenshtein;

use super::setting::Setting;

/// Longer than every valid name; it limits the printed and compared text.
const MAX_SHOWN_CHARS: usize = 64;

/// One edit per three letters counts as a typo; more is another word.
const LETTERS_PER_SLIP: usize = 3;

/// A shorter name is part of too many other names.
const MIN_PART_CHARS: usize = 3;

/// The suffix of all names of durations.
const UNIT: &str = "_seconds";

/// Former names of keys, and the current ones.
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
                // The right name in the wrong section, unless its own section has one as near.
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

/// The distance of the names; `None` if they are too different. A smaller one is more likely. A unit or
/// another word lost or added counts as one edit.
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

/// The printable part of a foreign dotted key.
pub(super) fn printable_key(key: &str) -> String {
    match key.split_once('.') {
        Some((section, name)) => format!("{}.{}", printable(section), printable(name)),
        None => printable(key),
    }
}

/// The printable part of a foreign name: up to the first character that no valid name has. A misplaced
/// value may follow it.
pub(super) fn printable(name: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut shown: String = name.chars().take(MAX_SHOWN_CHARS).take_while(plain).collect();
    if shown.len() < name.len() || shown.is_empty() {
        shown.push('…');
    }
    shown
}
