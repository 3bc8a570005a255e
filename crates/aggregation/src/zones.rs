//! The zones that rows name, or that stand in for those that name none.

use std::collections::HashMap;

use crate::Reason;
use crate::local_time::{UnknownZone, Zone};
use crate::text::require_short;

/// The zone of rows that name none: the profile's, else the configured default. A profile
/// may hold a zone that does not exist.
pub type BaseZone = Result<Zone, UnknownZone>;

/// Resolves the zones of rows, parsing each spelling once.
#[derive(Debug)]
pub struct Zones<'a> {
    base: &'a BaseZone,
    known: HashMap<String, BaseZone>,
}

impl<'a> Zones<'a> {
    /// Rows without a zone of their own take `base`.
    pub fn new(base: &'a BaseZone) -> Self {
        Self { base, known: HashMap::new() }
    }

    /// The zone of a row, or the reason to reject the row.
    ///
    /// # Errors
    /// [`Reason::TextTooLong`], or [`Reason::UnknownTimeZone`]: an unknown zone is never UTC in silence.
    pub fn of(&mut self, own: Option<&str>) -> Result<Zone, Reason> {
        let zone = match own {
            None => self.base,
            Some(text) => {
                require_short([text], [])?;
                if !self.known.contains_key(text) {
                    self.known.insert(text.to_owned(), text.parse());
                }
                &self.known[text]
            }
        };
        zone.as_ref().copied().map_err(|_| Reason::UnknownTimeZone)
    }
}
