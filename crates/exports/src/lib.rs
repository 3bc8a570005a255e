//! Reads what health apps and systems export: records in, raw rows out, in bounded memory.
//!
//! A reader goes through a file once and hands over one [`Item`] at a time. It keeps one record in
//! memory, and refuses one that is too long. A record that cannot be read is handed over as
//! [`Item::Bad`]; a record that no metric of the catalogue takes, as [`Item::LeftOut`]. Nothing is
//! dropped without an item. A file that ends too early or is no file of its format ends with a
//! [`ReadError`].
//!
//! No item and no error quotes a value: `LeftOut` has the name of a type or a code only.

mod apple;
mod bounded;
mod clarity;
mod clock;
mod csv;
mod elements;
mod fhir;
mod format;
mod health_auto_export;
mod item;
mod libre_view;
mod metrics;
mod nightscout;
pub mod records;
mod sensor;
mod unpack;
mod workout;

pub use format::{Format, LONGEST_BEGINNING, Unreadable};
pub use item::{Context, Handler, Item, ReadError};
pub use sensor::{bounds_of_sensor, out_of_range};
pub use unpack::{UnpackError, is_zip, unpack};

use std::io::BufRead;

/// Reads a file of this format. `reopen` opens the file once more, for formats that name things
/// behind their values; it returns `None` if that is impossible.
///
/// # Errors
/// If the file cannot be read to its end, or `handler` refuses to go on.
pub fn read(
    format: Format,
    file: &mut dyn BufRead,
    reopen: Reopen<'_>,
    context: &Context<'_>,
    handler: Handler<'_>,
) -> Result<(), ReadError> {
    skip_mark(file)?;
    match format {
        Format::AppleHealth => apple::read(file, context, handler),
        Format::HealthAutoExport => health_auto_export::read(file, reopen, context, handler),
        Format::FhirBundle => fhir::read_bundle(file, context, handler),
        Format::FhirLines => fhir::read_lines(file, context, handler),
        Format::FhirValues => fhir::read_values(file, context, handler),
        Format::Clarity => clarity::read(file, context, handler),
        Format::LibreView => libre_view::read(file, context, handler),
        Format::Nightscout => nightscout::read(file, context, handler),
        Format::NightscoutLines => nightscout::read_lines(file, context, handler),
    }
}

/// Skips the mark of the byte order, which UTF-8 does not need.
fn skip_mark(file: &mut dyn BufRead) -> std::io::Result<()> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    if file.fill_buf()?.starts_with(MARK) {
        file.consume(MARK.len());
    }
    Ok(())
}

/// Opens the file once more.
pub type Reopen<'r> = &'r mut dyn FnMut() -> std::io::Result<Option<Box<dyn BufRead>>>;
