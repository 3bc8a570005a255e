//! A file to import, and what it holds.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail};
use exports::{Format, LONGEST_BEGINNING, is_zip, unpack};

use crate::cli::ImportKind;

/// The bytes of the file that are read at once.
const BUFFER: usize = 1 << 18;

/// The content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Our CSV of this kind.
    Table(ImportKind),
    /// An export of an app or a system.
    Export(Format),
    /// The zip file around an export of Apple Health.
    Zip,
}

impl Content {
    /// The name of an export for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table(_) => "CSV",
            Self::Export(format) => format.name(),
            Self::Zip => Format::AppleHealth.name(),
        }
    }
}

/// A file that was recognised and not read yet.
pub struct Source {
    /// Its name in messages.
    pub name: String,
    /// Its content.
    pub content: Content,
    /// Its length; `None` for a pipe.
    pub length: Option<u64>,
    /// The number of bytes read so far.
    pub position: Arc<AtomicU64>,
    from: From,
}

enum From {
    /// A file that can be opened again.
    Path(PathBuf),
    /// The beginning of a stream, and its rest.
    Stream(Vec<u8>, Box<dyn Read + Send>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Source {
    /// Opens a file, or stdin for `-`, and recognises its content. With `kind` it is our CSV.
    ///
    /// # Errors
    /// If it cannot be opened or recognised.
    pub fn open(path: &Path, kind: Option<ImportKind>) -> anyhow::Result<Self> {
        let is_stdin = path.as_os_str() == "-";
        let name = if is_stdin { "stdin".to_owned() } else { path.display().to_string() };
        let (mut file, length): (Box<dyn Read + Send>, Option<u64>) = if is_stdin {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
            let length = file.metadata().ok().filter(|file| file.is_file()).map(|file| file.len());
            (Box::new(file), length)
        };
        let mut beginning = Vec::new();
        let read = file.by_ref().take(LONGEST_BEGINNING as u64).read_to_end(&mut beginning);
        read.with_context(|| format!("cannot read {name}"))?;
        let content = match kind {
            Some(kind) => Content::Table(kind),
            None => recognise(&beginning).with_context(|| name.clone())?,
        };
        let from = match length {
            Some(_) => From::Path(path.to_owned()),
            None if content == Content::Zip => {
                bail!("{name}: a zip file is not read in order; give the name of the file");
            }
            None => From::Stream(beginning, file),
        };
        Ok(Self { name, content, length, position: Arc::default(), from })
    }

    /// Opens the content, and returns a function that opens it once more.
    ///
    /// # Errors
    /// If the file cannot be opened, or its zip file is damaged.
    pub fn read(self) -> anyhow::Result<(Box<dyn BufRead>, Again)> {
        let Self { name, content, position, from, .. } = self;
        match from {
            From::Path(path) => {
                let open = move || {
                    Ok::<_, io::Error>(Counted {
                        file: File::open(&path)?,
                        position: position.clone(),
                    })
                };
                let file = open().with_context(|| format!("cannot open {name}"))?;
                let reader: Box<dyn BufRead> = if content == Content::Zip {
                    unpack(file)?
                } else {
                    Box::new(BufReader::with_capacity(BUFFER, file))
                };
                let again = move || {
                    let file = open()?;
                    // The first reading does not count.
                    file.position.store(0, Ordering::Relaxed);
                    let reader: Box<dyn BufRead> = Box::new(BufReader::with_capacity(BUFFER, file));
                    Ok(Some(reader))
                };
                Ok((reader, Box::new(again)))
            }
            From::Stream(beginning, rest) => {
                let file = Counted { file: Cursor::new(beginning).chain(rest), position };
                Ok((Box::new(BufReader::with_capacity(BUFFER, file)), Box::new(|| Ok(None))))
            }
        }
    }
}

/// Opens a file once more; `None` for a stream.
pub type Again = Box<dyn FnMut() -> io::Result<Option<Box<dyn BufRead>>>>;

/// Counts the bytes that are read.
struct Counted<F> {
    file: F,
    position: Arc<AtomicU64>,
}

impl<F: Read> Read for Counted<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl<F: Seek> Seek for Counted<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn recognise(beginning: &[u8]) -> anyhow::Result<Content> {
    if is_zip(beginning) {
        return Ok(Content::Zip);
    }
    if let Some(format) = Format::recognise(beginning)? {
        return Ok(Content::Export(format));
    }
    match kind_of_table(beginning) {
        Some(kind) => Ok(Content::Table(kind)),
        None if beginning.trim_ascii().is_empty() => bail!("the file is empty"),
        None => bail!(
            "the file is none that can be imported: an export of Apple Health, Health Auto Export, \
             Dexcom Clarity, LibreView or Nightscout, Observations of FHIR, or CSV with the columns that \
             `worker import --help` lists; for CSV, --kind says more"
        ),
    }
}

/// The kind of our CSV, by the columns in its first line.
fn kind_of_table(beginning: &[u8]) -> Option<ImportKind> {
    let line = beginning.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line).to_ascii_lowercase();
    let has = |column: &str| {
        line.split(',').any(|name| name.trim_matches(['"', ' ', '\r', '\t', '\u{feff}']) == column)
    };
    if !has("user_id") {
        None
    } else if has("metric") {
        Some(ImportKind::Vitals)
    } else if has("value_text") {
        Some(ImportKind::Labs)
    } else if has("meal_type") {
        Some(ImportKind::Nutrition)
    } else {
        has("time_zone").then_some(ImportKind::Profiles)
    }
}
