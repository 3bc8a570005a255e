//! Zip files: which entry is the export, and how large ones and damaged ones are read.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Cursor, Read, Write};

use exports::{UnpackError, unpack};
use flate2::Compression;
use flate2::Crc;
use flate2::write::DeflateEncoder;

const EXPORT: &str = "apple_health_export/export.xml";

/// An entry of an archive.
#[derive(Clone, Default)]
struct Entry {
    name: &'static str,
    content: Vec<u8>,
    flags: u16,
    /// Sizes and position are in the extra field, as for files above 4 GiB.
    is_large: bool,
}

fn entry(name: &'static str, content: &str) -> Entry {
    Entry { name, content: content.as_bytes().to_vec(), ..Entry::default() }
}

/// An archive; a large one has the directory of zip64.
fn archive(entries: &[Entry], is_large: bool) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for Entry { name, content, flags, is_large } in entries {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        let packed = encoder.finish().unwrap();
        let mut crc = Crc::new();
        crc.update(content);
        let offset = file.len() as u64;
        let sizes = [content.len() as u64, packed.len() as u64];
        let in_32_bits = |number: u64| if *is_large { u32::MAX } else { number as u32 };
        let mut extra = Vec::new();
        if *is_large {
            // Another extra field is before that of zip64.
            extra.extend([0x55, 0x54, 1, 0, 0, 1, 0, 24, 0]);
            extra.extend([sizes[0], sizes[1], offset].map(u64::to_le_bytes).concat());
        }
        let mut shared = [20, *flags, 8, 0, 0].map(u16::to_le_bytes).concat();
        shared.extend(crc.sum().to_le_bytes());
        shared.extend([sizes[1], sizes[0]].map(|size| in_32_bits(size).to_le_bytes()).concat());
        shared.extend((name.len() as u16).to_le_bytes());

        file.extend([b"PK\x03\x04", shared.as_slice(), &0_u16.to_le_bytes()].concat());
        file.extend([name.as_bytes(), &packed].concat());

        directory.extend([b"PK\x01\x02", 45_u16.to_le_bytes().as_slice(), &shared].concat());
        directory.extend((extra.len() as u16).to_le_bytes());
        directory.extend([0; 10]);
        directory.extend(in_32_bits(offset).to_le_bytes());
        directory.extend([name.as_bytes(), &extra].concat());
    }
    let (start, number) = (file.len() as u64, entries.len() as u64);
    file.extend(&directory);
    if is_large {
        let end = file.len() as u64;
        file.extend([b"PK\x06\x06".as_slice(), &44_u64.to_le_bytes(), &[0; 12]].concat());
        let numbers = [number, number, directory.len() as u64, start];
        file.extend(numbers.map(u64::to_le_bytes).concat());
        file.extend(
            [b"PK\x06\x07".as_slice(), &[0; 4], &end.to_le_bytes(), &[1, 0, 0, 0]].concat(),
        );
    }
    let in_32_bits = |number: u64| if is_large { u32::MAX } else { number as u32 };
    let number = if is_large { u16::MAX } else { number as u16 };
    file.extend([b"PK\x05\x06".as_slice(), &[0; 4]].concat());
    file.extend([number, number].map(u16::to_le_bytes).concat());
    file.extend(in_32_bits(directory.len() as u64).to_le_bytes());
    file.extend(in_32_bits(start).to_le_bytes());
    file.extend([0; 2]);
    file
}

fn open(entries: &[Entry], is_large: bool) -> Result<String, UnpackError> {
    let mut text = String::new();
    unpack(Cursor::new(archive(entries, is_large)))?.read_to_string(&mut text).unwrap();
    Ok(text)
}

#[test]
fn the_export_of_a_zip64_archive_is_read() {
    let large = Entry { is_large: true, ..entry(EXPORT, "<HealthData/>") };
    let entries = [entry("a.txt", "a"), large];
    assert_eq!(open(&entries, true).unwrap(), "<HealthData/>");
    assert_eq!(open(&entries, false).unwrap(), "<HealthData/>");
}

#[test]
fn a_zip64_archive_without_its_large_numbers_is_damaged() {
    let large = Entry { is_large: true, ..entry(EXPORT, "<HealthData/>") };
    let whole = archive(&[large], true);
    let without = |mark: &[u8]| {
        let mut file = whole.clone();
        let at = file.windows(mark.len()).position(|window| window == mark).unwrap();
        file[at] = 0;
        unpack(Cursor::new(file)).err().unwrap().to_string()
    };
    for mark in [b"PK\x06\x06", b"PK\x06\x07"] {
        assert!(without(mark).contains("the large form of its directory is missing"));
    }
    assert!(without(&[1, 0, 24, 0]).contains("the size of an entry is missing"));
}

#[test]
fn an_export_that_is_encrypted_is_refused_with_advice() {
    let encrypted = Entry { flags: 1, ..entry(EXPORT, "<HealthData/>") };
    let why = open(&[encrypted], false).unwrap_err().to_string();
    assert!(why.contains("encrypted") && why.contains("unpack it first"), "{why}");
}

#[test]
fn the_clinical_document_and_files_of_macos_are_not_taken_for_the_export() {
    let entries = [
        entry("apple_health_export/export_cda.xml", "<ClinicalDocument/>"),
        entry("__MACOSX/apple_health_export/._export.xml", "attributes of the Finder"),
        entry("apple_health_export/Exportieren.xml", "<HealthData/>"),
        entry("apple_health_export/workout-routes/route.gpx", "<gpx/>"),
    ];
    assert_eq!(open(&entries, false).unwrap(), "<HealthData/>");
}

#[test]
fn a_zip_file_with_several_exports_is_refused_instead_of_one_being_dropped() {
    let entries = [entry("one/export.xml", "<HealthData/>"), entry("two/export.xml", "<a/>")];
    let why = open(&entries, false).unwrap_err().to_string();
    assert!(why.contains("2 XML files") && why.contains("import those that are"), "{why}");
}

#[test]
fn content_that_differs_from_its_checksum_ends_the_reading() {
    let mut file = archive(&[entry(EXPORT, "<HealthData/>")], false);
    let directory = file.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    // The checksum in the directory, which is the one that counts.
    file[directory + 16] ^= 1;
    let mut text = String::new();
    let why = unpack(Cursor::new(file)).unwrap().read_to_string(&mut text).unwrap_err();
    assert!(why.to_string().contains("checksum"), "{why}");
}

#[test]
fn a_directory_that_claims_a_longer_entry_does_not_raise_the_limit_of_a_bomb() {
    let mut file = archive(&[entry(EXPORT, "<HealthData/>")], false);
    let directory = file.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    file[directory + 20..directory + 24].copy_from_slice(&(u32::MAX - 1).to_le_bytes());
    let why = unpack(Cursor::new(file)).err().unwrap().to_string();
    assert!(why.contains("an entry is longer than the file"), "{why}");
}
