//! Attributes of elements.

use std::borrow::Cow;

use quick_xml::escape::unescape;
use quick_xml::events::BytesStart;
use quick_xml::events::attributes::Attribute;

/// Calls `each` with each attribute: its name and its text.
///
/// # Errors
/// The first problem; the attributes behind it may be missing.
pub fn each(
    element: &BytesStart<'_>,
    mut each: impl FnMut(&[u8], Cow<'_, str>),
) -> Result<(), &'static str> {
    let mut outcome = Ok(());
    for found in element.attributes().with_checks(false) {
        let Ok(found) = found else { return Err("its attributes are not well-formed") };
        match text(&found) {
            Ok(text) => each(found.key.as_ref(), text),
            Err(problem) => outcome = Err(problem),
        }
    }
    outcome
}

/// An attribute; `None` if it is missing or cannot be read.
pub fn one(element: &BytesStart<'_>, name: &[u8]) -> Option<String> {
    let mut attributes = element.attributes();
    let found = attributes.with_checks(false).flatten().find(|found| found.key.as_ref() == name)?;
    Some(text(&found).ok()?.into_owned())
}

fn text<'a>(attribute: &'a Attribute<'_>) -> Result<Cow<'a, str>, &'static str> {
    let text =
        std::str::from_utf8(&attribute.value).map_err(|_| "an attribute is not UTF-8 text")?;
    unescape(text).map_err(|_| "an attribute has an entity that is not XML's own")
}
