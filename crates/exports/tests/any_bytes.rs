//! Damaged exports: each reader ends, and each row that it hands over can be stored.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, Cursor};
use std::sync::LazyLock;

use aggregation::catalogue::Catalogue;
use exports::{Context, Format, Item};
use proptest::prelude::*;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::built_in().unwrap());

const SAMPLES: [(Format, &[u8]); 7] = [
    (Format::AppleHealth, include_bytes!("../../../tests/import/samples/export.xml")),
    (
        Format::HealthAutoExport,
        include_bytes!("../../../tests/import/samples/health-auto-export.json"),
    ),
    (Format::FhirBundle, include_bytes!("../../../tests/import/samples/bundle.json")),
    (Format::FhirLines, include_bytes!("../../../tests/import/samples/observations.ndjson")),
    (Format::Clarity, include_bytes!("../../../tests/import/samples/clarity.csv")),
    (Format::LibreView, include_bytes!("../../../tests/import/samples/libreview.csv")),
    (Format::Nightscout, include_bytes!("../../../tests/import/samples/nightscout.json")),
];

/// Reads the bytes as a file of this format. Returns the number of rows.
fn read(format: Format, bytes: &[u8]) -> usize {
    let time_zone = Some("Europe/Berlin".parse().unwrap());
    let context = Context { catalogue: &CATALOGUE, time_zone, profile_zone: None };
    let mut rows = 0;
    let mut again = || -> std::io::Result<Option<Box<dyn BufRead>>> {
        Ok(Some(Box::new(Cursor::new(bytes.to_vec()))))
    };
    let mut file = bytes;
    let _ = exports::read(format, &mut file, &mut again, &context, &mut |item| {
        match item {
            Item::Vital(vital) => {
                assert!(vital.started_at.is_datable() && vital.ended_at.is_datable());
                assert!(CATALOGUE.metric(vital.metric).is_some());
                assert!(!vital.source.contains('\0'));
                rows += 1;
            }
            Item::Lab(lab) => {
                assert!(lab.collected_at.is_datable() && !lab.value_text.contains('\0'));
                rows += 1;
            }
            Item::LeftOut(name) | Item::UnlistedWorkout(name) => {
                assert!(name.is_ascii() && name.len() < 100)
            }
            Item::Bad { .. } => {}
        }
        Ok(())
    });
    rows
}

#[test]
fn each_sample_is_recognised_by_its_content() {
    for (format, bytes) in SAMPLES {
        assert_eq!(Format::recognise(bytes), Ok(Some(format)));
        assert!(read(format, bytes) > 3, "{format:?}");
    }
}

proptest! {
    #[test]
    fn a_damaged_export_never_ends_the_program(
        sample in 0..SAMPLES.len(),
        other in 0..SAMPLES.len(),
        cut in any::<prop::sample::Index>(),
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let (_, bytes) = SAMPLES[sample];
        let mut bytes = bytes.to_vec();
        for (index, byte) in at {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        read(SAMPLES[sample].0, &bytes);
        bytes.truncate(cut.index(bytes.len()));
        read(SAMPLES[sample].0, &bytes);
        read(SAMPLES[other].0, &bytes);
    }
}
