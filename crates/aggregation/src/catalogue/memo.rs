//! A cache of results by text.

use std::collections::HashMap;
use std::sync::RwLock;

/// Size limit, more than the spellings of one unit. Texts that an app makes up must not fill the
/// memory.
const MOST_TEXTS: usize = 256;

/// Caches the result of a computation by its text. The cache is no part of a value: a copy starts
/// empty.
#[derive(Debug)]
pub(super) struct Memo<T>(RwLock<HashMap<String, T>>);

impl<T: Copy> Memo<T> {
    pub(super) fn get_or_insert_with(&self, text: &str, compute: impl FnOnce() -> T) -> T {
        let known = self.0.read().ok().and_then(|known| known.get(text).copied());
        known.unwrap_or_else(|| {
            let computed = compute();
            if let Ok(mut known) = self.0.write() {
                if known.len() >= MOST_TEXTS {
                    known.clear();
                }
                known.insert(text.to_owned(), computed);
            }
            computed
        })
    }
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T> Clone for Memo<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T> PartialEq for Memo<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_computed_once_and_the_number_of_texts_is_bounded() {
        let memo = Memo::default();
        for number in 0..3 * MOST_TEXTS {
            let text = number.to_string();
            assert_eq!(memo.get_or_insert_with(&text, || number), number);
            assert_eq!(memo.get_or_insert_with(&text, || usize::MAX), number);
            assert!(memo.0.read().unwrap().len() <= MOST_TEXTS);
        }
    }
}
