//! Shared by the targets: rows as an app may write them, close enough to each other that they
//! overlap, and assertions that hold for any figure.

#![allow(missing_docs, clippy::unwrap_used, reason = "a target that panics is what is looked for")]

use std::fmt::Debug;
use std::sync::LazyLock;

use aggregation::Timestamp;
use aggregation::catalogue::Catalogue;
use aggregation::vitals::{Context, RawVital};
use aggregation::zones::BaseZone;
use arbitrary::{Arbitrary, Unstructured};
use chrono::{Days, NaiveDate};
use exports::{Format, Item};

pub static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::built_in().unwrap());

const ZONES: [&str; 8] = [
    "Europe/Berlin",
    "Asia/Kolkata",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "+14:00",
    "-14:00",
    "Mars/Phobos",
];

/// Nights on which clocks change or a date is left out, and the ends of the calendar.
const EPOCHS: [i64; 8] = [
    1_711_843_200_000_000,
    1_729_990_800_000_000,
    1_325_203_200_000_000,
    1_541_300_400_000_000,
    1_712_404_800_000_000,
    Timestamp::MIN.0,
    Timestamp::MAX.0,
    0,
];

/// One of the texts mostly, else anything.
pub fn one_of(u: &mut Unstructured<'_>, texts: &[&str]) -> arbitrary::Result<String> {
    if u.ratio(15, 16)? { Ok((*u.choose(texts)?).to_owned()) } else { String::arbitrary(u) }
}

fn maybe(u: &mut Unstructured<'_>, texts: &[&str]) -> arbitrary::Result<Option<String>> {
    if u.ratio(3, 4)? { Ok(None) } else { one_of(u, texts).map(Some) }
}

/// A user: the zone, the order of sources, and the time around which everything happens.
#[derive(Debug)]
pub struct Scene {
    pub base_zone: BaseZone,
    pub source_order: Vec<String>,
    pub epoch: i64,
}

impl<'a> Arbitrary<'a> for Scene {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let order: [&[&str]; 3] = [&[], &["watch", "phone"], &["ring"]];
        Ok(Self {
            base_zone: one_of(u, &ZONES)?.parse(),
            source_order: u.choose(&order)?.iter().map(|source| (*source).to_owned()).collect(),
            epoch: if u.ratio(15, 16)? { *u.choose(&EPOCHS)? } else { i64::arbitrary(u)? },
        })
    }
}

impl Scene {
    pub fn context(&self) -> Context<'_> {
        Context {
            catalogue: &CATALOGUE,
            base_zone: &self.base_zone,
            source_order: &self.source_order,
        }
    }

    /// An instant near the scene's, in steps of half a minute to a quarter of an hour; seldom any.
    pub fn instant(&self, u: &mut Unstructured<'_>) -> arbitrary::Result<Timestamp> {
        if u.ratio(1, 32)? {
            return i64::arbitrary(u).map(Timestamp);
        }
        let step = *u.choose(&[30_000_000, 60_000_000, 300_000_000, 900_000_000, 1])?;
        Ok(Timestamp(self.epoch).plus(i64::from(i8::arbitrary(u)?) * step))
    }

    pub fn zone(&self, u: &mut Unstructured<'_>) -> arbitrary::Result<Option<String>> {
        maybe(u, &ZONES)
    }

    /// Up to a few dozen rows of one metric.
    pub fn rows(
        &self,
        u: &mut Unstructured<'_>,
        units: &[&str],
        most: f64,
    ) -> arbitrary::Result<Vec<RawVital>> {
        let number = u.int_in_range(0..=32)?;
        let mut rows = Vec::with_capacity(number);
        for id in 0..number {
            if u.is_empty() {
                break;
            }
            let started_at = self.instant(u)?;
            let length = match u.int_in_range(0..=7)? {
                0..=2 => 0,
                3..=6 => i64::from(u8::arbitrary(u)?) * 600_000_000,
                _ => i64::arbitrary(u)?,
            };
            let value = match u.int_in_range(0..=15)? {
                0 => f64::arbitrary(u)?,
                1 => *u.choose(&[0.0, -0.0, f64::NAN, f64::INFINITY, 5e-324, f64::MIN_POSITIVE])?,
                _ => f64::from(u16::arbitrary(u)?) / 65_535.0 * most,
            };
            rows.push(RawVital {
                id: id as i64,
                value,
                comparator: maybe(u, &["<", ">", "~"])?.map(Into::into),
                unit: one_of(u, units)?.into(),
                source: one_of(u, &["watch", "phone", "ring"])?.into(),
                started_at,
                ended_at: started_at.plus(length),
                time_zone: self.zone(u)?.map(Into::into),
                is_daily_total: u.ratio(1, 8)?,
                workout_type: None,
            });
        }
        Ok(rows)
    }

    /// The dates around the scene, and the ends of the calendar's type.
    pub fn dates(&self) -> Vec<NaiveDate> {
        let middle = Timestamp(self.epoch).to_utc().date_naive();
        let near = (0..7).filter_map(|days| {
            middle.checked_sub_days(Days::new(3))?.checked_add_days(Days::new(days))
        });
        near.chain([NaiveDate::MIN, NaiveDate::MAX]).collect()
    }
}

/// Another order of the same rows, given by the input.
pub fn shuffled<T: Clone>(u: &mut Unstructured<'_>, rows: &[T]) -> Vec<T> {
    let mut rows = rows.to_vec();
    for last in (1..rows.len()).rev() {
        rows.swap(last, u.int_in_range(0..=last).unwrap_or(0));
    }
    rows
}

/// Debug prints every double so that it reads back to the same bits.
pub fn assert_same_bits(one: &impl Debug, other: &impl Debug) {
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}

/// A figure is a finite number or NULL.
pub fn assert_finite(figures: impl IntoIterator<Item = Option<f64>>) {
    for figure in figures.into_iter().flatten() {
        assert!(figure.is_finite(), "{figure}");
    }
}

/// What must be between these ends, both in.
pub fn assert_within(figures: impl IntoIterator<Item = Option<f64>>, least: f64, most: f64) {
    for figure in figures.into_iter().flatten() {
        assert!(least <= figure && figure <= most, "{figure} outside of {least} to {most}");
    }
}

/// Reads an export, and asserts that each row can be stored and that no text is shown but names.
pub fn read_export(format: Format, bytes: &[u8]) {
    let zone = Some("Europe/Berlin".parse().unwrap());
    let context = exports::Context { catalogue: &CATALOGUE, time_zone: zone, profile_zone: None };
    let mut again = || -> std::io::Result<Option<Box<dyn std::io::BufRead>>> {
        Ok(Some(Box::new(std::io::Cursor::new(bytes.to_vec()))))
    };
    let mut file = bytes;
    let done = exports::read(format, &mut file, &mut again, &context, &mut |item| {
        match item {
            Item::Vital(vital) => {
                assert!(CATALOGUE.metric(vital.metric).is_some());
                assert!(vital.started_at.is_datable() && vital.ended_at.is_datable());
                assert!(!vital.source.contains('\0') && !vital.unit.contains('\0'));
            }
            Item::Lab(lab) => {
                assert!(lab.collected_at.is_datable());
                assert!(!lab.value_text.contains('\0') && !lab.test_name.contains('\0'));
            }
            Item::LeftOut(name) | Item::UnlistedWorkout(name) => assert!(name.len() <= 100 && name.is_ascii(), "{name}"),
            Item::Bad { place, problem } => assert!(place.len() + problem.len() < 300),
        }
        Ok(())
    });
    if let Err(error) = done {
        assert!(error.to_string().len() < 500, "{error}");
    }
}
