//! The format of a file, by its beginning.

/// A format that this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `export.xml` of Apple Health.
    AppleHealth,
    /// JSON of Health Auto Export.
    HealthAutoExport,
    /// A Bundle of FHIR, or an array of resources.
    FhirBundle,
    /// FHIR with one resource a line.
    FhirLines,
    /// FHIR with one resource after the other.
    FhirValues,
    /// CSV of Dexcom Clarity.
    Clarity,
    /// CSV of LibreView.
    LibreView,
    /// Entries of Nightscout as an array.
    Nightscout,
    /// Entries of Nightscout, one after the other.
    NightscoutLines,
}

/// The number of bytes that show the format of any file.
pub const LONGEST_BEGINNING: usize = 1 << 16;

/// The reason why a file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The encoding has several bytes a character.
    #[error(
        "the file is UTF-16 or binary, but must be UTF-8; convert it with \
         `iconv -f UTF-16 -t UTF-8 FILE > NEW`"
    )]
    NotUtf8,
    /// It is compressed.
    #[error("the file is compressed with gzip; unpack it with `gunzip FILE`")]
    Gzip,
    /// The clinical document beside Apple's export.
    #[error("this is the clinical document of Apple Health; import export.xml instead")]
    ClinicalDocument,
}

impl Format {
    /// Recognises the format; `None` if it is none of them.
    ///
    /// # Errors
    /// If the file cannot be read in any case.
    pub fn recognise(beginning: &[u8]) -> Result<Option<Self>, Unreadable> {
        if beginning.starts_with(&[0x1f, 0x8b]) {
            return Err(Unreadable::Gzip);
        }
        let is_utf16 = beginning.starts_with(&[0xff, 0xfe]) || beginning.starts_with(&[0xfe, 0xff]);
        if is_utf16 || beginning.contains(&0) {
            return Err(Unreadable::NotUtf8);
        }
        let text = String::from_utf8_lossy(beginning);
        let text = text.trim_start_matches('\u{feff}').trim_start();
        Ok(match text.as_bytes().first() {
            Some(b'<') if text.contains("<ClinicalDocument") => {
                return Err(Unreadable::ClinicalDocument);
            }
            Some(b'<') if text.contains("HealthData") => Some(Self::AppleHealth),
            Some(b'{' | b'[') => json(text),
            _ => table(text),
        })
    }

    /// The name of the format for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AppleHealth => "Apple Health",
            Self::HealthAutoExport => "Health Auto Export",
            Self::FhirBundle | Self::FhirLines | Self::FhirValues => "FHIR",
            Self::Clarity => "Dexcom Clarity",
            Self::LibreView => "LibreView",
            Self::Nightscout | Self::NightscoutLines => "Nightscout",
        }
    }
}

fn json(text: &str) -> Option<Format> {
    let has = |key: &str| text.contains(&format!("\"{key}\""));
    let first_line = text.lines().next().unwrap_or_default().trim_end();
    let is_array = text.starts_with('[');
    if has("resourceType") {
        let after = text.split("\"resourceType\"").nth(1).unwrap_or_default();
        let kind = after.trim_start_matches([':', ' ', '\t', '\r', '\n', '"']);
        let is_line =
            first_line.ends_with('}') || text.len() > LONGEST_BEGINNING / 2 && !text.contains('\n');
        return Some(if is_array || kind.starts_with("Bundle") && !has_second_line(text) {
            Format::FhirBundle
        } else if is_line {
            Format::FhirLines
        } else {
            Format::FhirValues
        });
    }
    if has("sgv") || has("mbg") || has("dateString") {
        let is_whole = is_array || has("result");
        return Some(if is_whole { Format::Nightscout } else { Format::NightscoutLines });
    }
    let is_export = has("data") && (has("metrics") || has("workouts") || has("units"));
    is_export.then_some(Format::HealthAutoExport)
}

/// Whether the file has a resource on each of its first two lines.
fn has_second_line(text: &str) -> bool {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default().trim_end();
    first.ends_with('}') && lines.next().is_some_and(|line| line.starts_with('{'))
}

fn table(text: &str) -> Option<Format> {
    let mut lines = text.lines().take(5);
    lines.find_map(|line| {
        if line.contains("Event Type") && line.contains("Glucose Value") {
            Some(Format::Clarity)
        } else if line.contains("Device Timestamp") && line.contains("Historic Glucose") {
            Some(Format::LibreView)
        } else {
            None
        }
    })
}
