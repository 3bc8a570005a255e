//! Compares stored rows of figures with computed ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use aggregation::{ALGORITHM_VERSION, Kind, labs, nutrition};
use chrono::NaiveDate;

use crate::kinds::day_end::contradicts_clock;
use crate::kinds::{blood_pressure, glucose, labs as lab_days, nutrition as meals, sleep, vitals};
use crate::sql::figure_table::{FigureTable, ImageColumns, TABLES};

/// The difference between a stored row of figures and the computed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Difference {
    /// The row is missing.
    Missing,
    /// The row should not exist.
    Surplus,
    /// The row was computed with another profile, catalogue or version, so these cannot judge it.
    Outdated,
    /// The row is of another zone, and only of another zone: profile, catalogue and version agree
    /// otherwise.
    Rezoned,
    /// A figure differs.
    Different,
}

impl Difference {
    /// The stable name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Surplus => "surplus",
            Self::Outdated => "outdated",
            Self::Rezoned => "rezoned",
            Self::Different => "different",
        }
    }
}

/// The key of a row of figures. It is short, because a million rows of a user may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    place: i32,
    /// The row's local date.
    pub date: NaiveDate,
    /// A hash of the other key columns.
    hash: i64,
}

/// The places of tables whose rows other rows explain.
const HOURS: i32 = 0;
const DAYS: i32 = 1;
const LABS: i32 = 6;

impl RowKey {
    /// The table of the row.
    pub fn table(self) -> &'static str {
        let table = usize::try_from(self.place).ok().and_then(|place| TABLES.get(place));
        table.map_or("", |(_, table)| table)
    }

    /// The key of all rows of the same table and date.
    #[must_use]
    pub const fn of_date(self) -> Self {
        Self { hash: 0, ..self }
    }

    /// The version by which rows of the table are computed.
    fn version(self) -> i32 {
        match usize::try_from(self.place).ok().and_then(|place| TABLES.get(place)) {
            Some((Kind::Nutrition, _)) => nutrition::ALGORITHM_VERSION,
            Some((Kind::Labs, _)) => labs::ALGORITHM_VERSION,
            _ => ALGORITHM_VERSION,
        }
    }
}

/// The SQL that reads the images of stored rows of a kind.
pub(crate) fn stored_images(kind: Kind) -> &'static str {
    static SQL: LazyLock<[String; Kind::ALL.len()]> = LazyLock::new(|| {
        Kind::ALL.map(|kind| {
            let of_kind = tables().into_iter().zip(TABLES).filter(|(_, (of, _))| *of == kind);
            let queries = of_kind.map(|(table, (_, name))| {
                let of_clock =
                    if table.is_of_day() { contradicts_clock(name) } else { "false".to_owned() };
                table.stored(name, &of_clock)
            });
            queries.collect::<Vec<_>>().join(" UNION ALL ")
        })
    });
    let place = Kind::ALL.iter().position(|of| *of == kind);
    place.and_then(|place| SQL.get(place)).map_or("", String::as_str)
}

/// The tables, in the order of [`TABLES`].
fn tables() -> [&'static FigureTable; TABLES.len()] {
    [
        vitals::hours(),
        vitals::days(),
        sleep::table(),
        blood_pressure::table(),
        glucose::table(),
        meals::table(),
        lab_days::table(),
    ]
}

/// The inputs of a figure besides its raw rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Inputs {
    version: Option<i32>,
    fingerprint: Option<i64>,
}

/// A row by its digests.
#[derive(Clone, PartialEq, Eq)]
struct Image {
    /// A hash of the metric or the analyte.
    group: i64,
    inputs: Inputs,
    zone: i64,
    /// The digest of all figures. It covers their bits: −0 differs from 0.
    figures: Vec<u8>,
    contradicts_clock: bool,
}

fn image(columns: ImageColumns) -> (RowKey, Image) {
    let (place, date, hash, group, version, fingerprint, zone, figures, contradicts_clock) =
        columns;
    let inputs = Inputs { version, fingerprint };
    let image = Image { group, inputs, zone, figures, contradicts_clock };
    (RowKey { place, date, hash }, image)
}

/// The inputs of days of vitals and of analytes, by table, date and group. They explain differences of other rows.
type InputsOfGroups = BTreeSet<((i32, NaiveDate, i64), Inputs)>;

/// The comparison of some dates of a user, fed with stored rows one by one.
pub(crate) struct Comparison {
    /// The computed rows for which no stored one has come yet.
    computed: BTreeMap<RowKey, Image>,
    computed_inputs: InputsOfGroups,
    stored_inputs: InputsOfGroups,
    found: Vec<(RowKey, Image, Difference)>,
}

impl Comparison {
    /// A comparison with computed rows.
    pub(crate) fn new(computed: Vec<ImageColumns>) -> Self {
        let computed: BTreeMap<RowKey, Image> = computed.into_iter().map(image).collect();
        let mut computed_inputs = InputsOfGroups::new();
        computed.iter().for_each(|(key, image)| note(&mut computed_inputs, *key, image));
        Self { computed, computed_inputs, stored_inputs: BTreeSet::new(), found: Vec::new() }
    }

    /// Compares a stored row.
    pub(crate) fn add_stored(&mut self, columns: ImageColumns) {
        let (key, stored) = image(columns);
        note(&mut self.stored_inputs, key, &stored);
        let difference = match self.computed.remove(&key) {
            None => Difference::Surplus,
            Some(computed) if computed.inputs != stored.inputs => Difference::Outdated,
            Some(computed) if computed.figures == stored.figures && !stored.contradicts_clock => {
                return;
            }
            Some(computed) if computed.zone != stored.zone => Difference::Rezoned,
            Some(_) => Difference::Different,
        };
        self.found.push((key, stored, difference));
    }

    /// The rows that differ. A difference that another version, profile or catalogue explains is called outdated.
    pub(crate) fn finish(mut self) -> Vec<(RowKey, Difference)> {
        let missing = std::mem::take(&mut self.computed);
        let missing = missing.into_iter().map(|(key, image)| (key, image, Difference::Missing));
        let found = std::mem::take(&mut self.found).into_iter().chain(missing);
        let called = |(key, image, difference)| {
            let is_explained = self.explains(key, &image, difference);
            (key, if is_explained { Difference::Outdated } else { difference })
        };
        found.map(called).collect()
    }

    fn explains(&self, key: RowKey, image: &Image, difference: Difference) -> bool {
        let version = Some(key.version());
        let others = |of: &InputsOfGroups, place: i32, is_other: &dyn Fn(Inputs) -> bool| {
            let group = (place, key.date, image.group);
            let range = (group, Inputs { version: None, fingerprint: None })..;
            let mut of_group = of.range(range).take_while(|(other, _)| *other == group);
            of_group.any(|(_, inputs)| is_other(*inputs))
        };
        match (key.place, difference) {
            // An hour has no version or fingerprint of its own, so those of its metric's day apply.
            (HOURS, _) => others(&self.stored_inputs, DAYS, &|stored| {
                stored.version != version
                    || others(&self.computed_inputs, DAYS, &|computed| {
                        computed.fingerprint != stored.fingerprint
                    })
            }),
            // Another version or catalogue may give an analyte's results another unit, which is part of the
            // key.
            (LABS, Difference::Missing) => {
                others(&self.stored_inputs, LABS, &|stored| stored != image.inputs)
            }
            (LABS, Difference::Surplus) => {
                image.inputs.version != version
                    || others(&self.computed_inputs, LABS, &|computed| computed != image.inputs)
            }
            (_, Difference::Surplus) => image.inputs.version != version,
            _ => false,
        }
    }
}

fn note(inputs: &mut InputsOfGroups, key: RowKey, image: &Image) {
    if key.place == DAYS || key.place == LABS {
        inputs.insert(((key.place, key.date, image.group), image.inputs));
    }
}
