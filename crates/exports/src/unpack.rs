//! The export within a zip file, as a stream.
//!
//! The directory of the archive is read entry by entry, and the export is unpacked while it is read,
//! so memory depends on neither. A zip bomb ends at a limit of its ratio.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::read::DeflateDecoder;

/// How much larger than its packed form an export may be. Exports of Apple Health reach 50 times; a
/// deflated bomb has 1,000.
const LARGEST_RATIO: u64 = 250;

/// Any file may be as large as this, however small it was packed.
const ALWAYS_ALLOWED: u64 = 16 << 20;

/// The end of the directory, with the longest comment.
const LONGEST_END: u64 = 22 + 65_535;

const FULL_16: u64 = 0xffff;
const FULL_32: u64 = 0xffff_ffff;

/// The reason why a zip file cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It cannot be read.
    #[error("cannot read the zip file: {0}")]
    Io(#[from] io::Error),
    /// Its directory is missing or damaged.
    #[error("the zip file is damaged or was cut off: {0}; export or copy it again")]
    Damaged(&'static str),
    /// It has no export.
    #[error("the zip file has no export.xml of Apple Health; unpack it, and import the files")]
    NoExport,
    /// It has several files that may be the export.
    #[error(
        "the zip file has {0} XML files that may be the export of Apple Health; unpack it, and import \
         those that are"
    )]
    SeveralExports(u64),
    /// It is encrypted, or packed in an unusual way.
    #[error("{0} in the zip file is encrypted, or not packed with deflate; unpack it first")]
    Unsupported(String),
}

/// Whether a file begins as a zip file does.
pub fn is_zip(beginning: &[u8]) -> bool {
    beginning.starts_with(b"PK\x03\x04") || beginning.starts_with(b"PK\x05\x06")
}

/// Opens the XML file of the archive that is no clinical document: the export of Apple Health.
///
/// # Errors
/// If there is none or more than one, or if the archive is damaged.
pub fn unpack<R: Read + Seek + 'static>(mut file: R) -> Result<Box<dyn BufRead>, UnpackError> {
    let (start, number) = directory(&mut file)?;
    file.seek(SeekFrom::Start(start))?;
    let mut entries = BufReader::new(&mut file);
    let (mut export, mut exports) = (None, 0);
    for _ in 0..number {
        let entry = Entry::read(&mut entries)?;
        if entry.is_export() {
            exports += 1;
            export.get_or_insert(entry);
        }
    }
    match export {
        None => Err(UnpackError::NoExport),
        Some(entry) if exports == 1 => entry.open(file),
        Some(_) => Err(UnpackError::SeveralExports(exports)),
    }
}

/// The position of the directory, and its number of entries.
fn directory<R: Read + Seek>(file: &mut R) -> Result<(u64, u64), UnpackError> {
    let length = file.seek(SeekFrom::End(0))?;
    let begin = length.saturating_sub(LONGEST_END);
    file.seek(SeekFrom::Start(begin))?;
    let mut end = Vec::new();
    file.by_ref().take(LONGEST_END).read_to_end(&mut end)?;
    let at =
        (0..end.len().saturating_sub(21)).rev().find(|at| end[*at..].starts_with(b"PK\x05\x06"));
    let Some(at) = at else { return Err(UnpackError::Damaged("its directory is missing")) };
    let number = number(&end, at + 10, 2);
    let start = self::number(&end, at + 16, 4);
    if number != FULL_16 && start != FULL_32 {
        return Ok((start, number));
    }
    // Zip64: a locator of 20 bytes is before the end, and has the position of the larger numbers.
    let missing = UnpackError::Damaged("the large form of its directory is missing");
    let locator = at.checked_sub(20).filter(|at| end[*at..].starts_with(b"PK\x06\x07"));
    let Some(locator) = locator else { return Err(missing) };
    file.seek(SeekFrom::Start(self::number(&end, locator + 8, 8)))?;
    let large: [u8; 56] = bytes(file)?;
    if !large.starts_with(b"PK\x06\x06") {
        return Err(missing);
    }
    Ok((self::number(&large, 48, 8), self::number(&large, 32, 8)))
}

/// An entry of the directory.
struct Entry {
    name: String,
    is_encrypted: bool,
    method: u64,
    crc: u32,
    packed: u64,
    offset: u64,
}

impl Entry {
    fn read(from: &mut impl Read) -> Result<Self, UnpackError> {
        let head: [u8; 46] = bytes(from)?;
        if !head.starts_with(b"PK\x01\x02") {
            return Err(UnpackError::Damaged("an entry of its directory is none"));
        }
        let field = |at, length| number(&head, at, length);
        let name = part(from, field(28, 2))?;
        let extra = part(from, field(30, 2))?;
        part(from, field(32, 2))?;
        let mut entry = Self {
            name: String::from_utf8_lossy(&name).into_owned(),
            is_encrypted: field(8, 2) & 1 == 1,
            method: field(10, 2),
            crc: u32::try_from(field(16, 4)).unwrap_or_default(),
            packed: field(20, 4),
            offset: field(42, 4),
        };
        let mut large = large_numbers(&extra);
        let mut size = field(24, 4);
        for value in [&mut size, &mut entry.packed, &mut entry.offset] {
            if *value == FULL_32 {
                let missing = UnpackError::Damaged("the size of an entry is missing");
                let (first, rest) = large.split_at_checked(8).ok_or(missing)?;
                (*value, large) = (number(first, 0, 8), rest);
            }
        }
        Ok(entry)
    }

    /// Apple translates the name export.xml, but not the end of export_cda.xml. macOS adds a file with
    /// attributes to each file that it packs; its name begins with `._`.
    fn is_export(&self) -> bool {
        let name = self.name.to_lowercase();
        let is_of_macos = name.rsplit('/').next().is_some_and(|name| name.starts_with("._"));
        name.ends_with(".xml") && !name.ends_with("_cda.xml") && !is_of_macos
    }

    fn open<R: Read + Seek + 'static>(self, mut file: R) -> Result<Box<dyn BufRead>, UnpackError> {
        if self.is_encrypted || !matches!(self.method, 0 | 8) {
            return Err(UnpackError::Unsupported("export.xml".to_owned()));
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let head: [u8; 30] = bytes(&mut file)?;
        if !head.starts_with(b"PK\x03\x04") {
            return Err(UnpackError::Damaged("an entry is not where its directory says"));
        }
        let skipped = number(&head, 26, 2) + number(&head, 28, 2);
        let length = file.seek(SeekFrom::End(0))?;
        let start = self.offset.saturating_add(head.len() as u64).saturating_add(skipped);
        // The limit below would be none if the directory could claim any size.
        if self.packed > length.saturating_sub(start) {
            return Err(UnpackError::Damaged("an entry is longer than the file"));
        }
        file.seek(SeekFrom::Start(start))?;
        let packed = BufReader::with_capacity(1 << 16, file.take(self.packed));
        let most = self.packed.saturating_mul(LARGEST_RATIO).max(ALWAYS_ALLOWED);
        let (crc, is_deflated) = (self.crc, self.method == 8);
        let inner: Box<dyn Read> =
            if is_deflated { Box::new(DeflateDecoder::new(packed)) } else { Box::new(packed) };
        let unpacked = Unpacked { inner, crc: Crc::new(), expected: crc, most };
        Ok(Box::new(BufReader::with_capacity(1 << 16, unpacked)))
    }
}

/// The zip64 part of the extra fields: sizes and position that do not fit into 32 bits.
fn large_numbers(mut extra: &[u8]) -> &[u8] {
    while let Some((head, rest)) = extra.split_at_checked(4) {
        let length = number(head, 2, 2) as usize;
        let Some((field, rest)) = rest.split_at_checked(length) else { break };
        if number(head, 0, 2) == 1 {
            return field;
        }
        extra = rest;
    }
    &[]
}

/// The content of an entry, checked against its checksum and the limit of its size.
struct Unpacked {
    inner: Box<dyn Read>,
    crc: Crc,
    expected: u32,
    most: u64,
}

impl Read for Unpacked {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let invalid = |text| io::Error::new(io::ErrorKind::InvalidData, text);
        let read = self.inner.read(into).map_err(|_| invalid("the zip file is damaged"))?;
        self.crc.update(&into[..read]);
        self.most = self.most.checked_sub(read as u64).ok_or_else(|| {
            invalid("the zip file unpacks to more than 250 times its size, as no export does")
        })?;
        if read == 0 && !into.is_empty() && self.crc.sum() != self.expected {
            return Err(invalid("the zip file is damaged: the checksum of export.xml differs"));
        }
        Ok(read)
    }
}

/// A number in little-endian form; 0 beyond the end.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes.get(at..at + length).unwrap_or_default();
    bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

fn bytes<const N: usize>(from: &mut impl Read) -> Result<[u8; N], UnpackError> {
    let mut bytes = [0; N];
    match from.read_exact(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(UnpackError::Damaged("it ends within an entry"))
        }
        Err(error) => Err(error.into()),
    }
}

/// A field of at most 65,535 bytes.
fn part(from: &mut impl Read, length: u64) -> Result<Vec<u8>, UnpackError> {
    let mut part = Vec::new();
    from.take(length).read_to_end(&mut part)?;
    Ok(part)
}
