//! The zones of rows, and the base zone of rows without one.

use crate::Reason;
use crate::local_time::{UnknownZone, Zone};
use crate::text::require_short;

/// The zone of rows that name none: the profile's, else the configured default. A profile may hold
/// an unknown zone.
pub type BaseZone = Result<Zone, UnknownZone>;

/// Resolves the zones of rows. Neighbouring rows nearly always have the same zone, which is parsed
/// once.
#[derive(Debug)]
pub struct Zones<'a> {
    base: &'a BaseZone,
    last: (String, BaseZone),
}

impl<'a> Zones<'a> {
    /// Rows without a zone of their own use `base`.
    pub const fn new(base: &'a BaseZone) -> Self {
        Self { base, last: (String::new(), Err(UnknownZone)) }
    }

    /// The zone of a row, or the reason to reject the row.
    ///
    /// # Errors
    /// [`Reason::TextTooLong`], or [`Reason::UnknownTimeZone`]: an unknown zone is never silently
    /// read as UTC.
    pub fn resolve(&mut self, own: Option<&str>) -> Result<Zone, Reason> {
        let zone = match own {
            None => self.base,
            Some(text) => {
                require_short([text], [])?;
                let (known, zone) = &mut self.last;
                if known != text {
                    text.clone_into(known);
                    *zone = text.parse();
                }
                zone
            }
        };
        zone.as_ref().copied().map_err(|_| Reason::UnknownTimeZone)
    }
}
