//! Observations as rows.

use std::collections::HashMap;

use aggregation::Timestamp;
use aggregation::raw::{NewLab, NewVital};
use chrono::NaiveDate;

use super::model::{LOINC, Measured, Observation};
use crate::clock;
use crate::item::{Context, Handler, Item, ReadError, hand_over_lab, hand_over_vital, type_name};
use crate::workout::{Workout, has_metric};

/// LOINC codes of vital signs beside those of the catalogue, with the metric.
const OTHER_CODES: [(&str, &str); 8] = [
    // The profile of vital signs of FHIR has both.
    ("2708-6", "oxygen_saturation"),
    ("8302-2", "height"),
    ("3137-7", "height"),
    ("3141-9", "body_mass"),
    ("8331-1", "body_temperature"),
    ("55423-8", "steps"),
    // Glucose in interstitial fluid: sensors.
    ("99504-3", "blood_glucose"),
    ("105272-9", "blood_glucose"),
];

/// A workout, with its type as value.
const EXERCISE_ACTIVITY: &str = "73985-4";

/// The statuses that `lab_raw` knows.
const STATUSES: [&str; 6] =
    ["final", "amended", "corrected", "preliminary", "cancelled", "entered-in-error"];

/// The statuses of results that hold.
const VALID: [&str; 3] = ["final", "amended", "corrected"];

/// Reads Observations of one patient.
pub struct Observations<'c> {
    context: &'c Context<'c>,
    metrics: HashMap<&'c str, &'c str>,
    /// The patient of the first one.
    patient: Option<String>,
}

/// The time of an Observation.
struct When {
    start: Timestamp,
    end: Timestamp,
    zone: Option<String>,
}

/// A time as FHIR writes it.
enum Time {
    At(Timestamp, Option<String>),
    /// Only its month or year is known.
    Partial,
    Invalid,
}

/// The kind of rows of an Observation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Category {
    Laboratory,
    Vital,
}

impl<'c> Observations<'c> {
    pub fn new(context: &'c Context<'c>) -> Self {
        let mut metrics = context.metrics_by_loinc();
        for (code, metric) in OTHER_CODES {
            if context.catalogue.metric(metric).is_some() {
                metrics.entry(code).or_insert(metric);
            }
        }
        Self { context, metrics, patient: None }
    }

    /// Reads one Observation.
    ///
    /// # Errors
    /// If it is of another patient than those before, or `handler` refuses to go on.
    pub fn read(&mut self, text: &str, place: &str, handler: Handler<'_>) -> Result<(), ReadError> {
        let parsed = (serde_json::from_str(text), serde_json::from_str(text));
        let (Ok(observation), Ok(measured)): (Result<Observation, _>, Result<Measured, _>) = parsed
        else {
            let problem = "its fields are not as FHIR has them".to_owned();
            return handler(Item::Bad { place: place.to_owned(), problem });
        };
        self.require_same_patient(&observation, place)?;
        let components = observation.component.iter();
        let results: Vec<&Measured> =
            std::iter::once(&measured).chain(components).filter(|one| one.has_value()).collect();
        if results.is_empty() {
            return handler(Item::LeftOut("Observation.without.value"));
        }
        let when = match self.when(&observation)? {
            Ok(when) => when,
            Err(Time::Partial) => return handler(Item::LeftOut("Observation.without.day")),
            Err(_) => {
                let problem = "its effective time is missing, or no time of FHIR".to_owned();
                return handler(Item::Bad { place: place.to_owned(), problem });
            }
        };
        for result in results {
            self.result(&observation, result, &when, place, handler)?;
        }
        Ok(())
    }

    fn require_same_patient(
        &mut self,
        observation: &Observation,
        place: &str,
    ) -> Result<(), ReadError> {
        let subject = observation.subject.as_ref().and_then(|subject| subject.reference.as_deref());
        let Some(subject) = subject else { return Ok(()) };
        match &self.patient {
            Some(patient) if patient != subject => Err(ReadError::Malformed {
                place: place.to_owned(),
                problem:
                    "it is about another patient than those before; split the file, and import \
                          each patient with their own --user"
                        .to_owned(),
            }),
            Some(_) => Ok(()),
            None => {
                self.patient = Some(subject.to_owned());
                Ok(())
            }
        }
    }

    fn result(
        &self,
        observation: &Observation,
        result: &Measured,
        when: &When,
        place: &str,
        handler: Handler<'_>,
    ) -> Result<(), ReadError> {
        let code = result.code.as_ref().and_then(|code| code.code(LOINC));
        let status = observation.status.as_deref().unwrap_or_default();
        let known = STATUSES.into_iter().find(|known| *known == status);
        match (self.category(observation, code), known) {
            (_, None) => handler(Item::LeftOut("Observation.of.other.status")),
            (Category::Laboratory, Some(status)) => {
                self.lab(observation, result, status, when, place, handler)
            }
            (Category::Vital, Some(status)) if !VALID.contains(&status) => {
                handler(Item::LeftOut("Observation.of.other.status"))
            }
            (Category::Vital, _) => self.vital(observation, result, when, place, handler),
        }
    }

    fn category(&self, observation: &Observation, code: Option<&str>) -> Category {
        let is_of = |name: &str| {
            let mut codings = observation.category.iter().flat_map(|concept| &concept.coding);
            codings.any(|coding| coding.code.as_deref() == Some(name))
        };
        let is_analyte = |code| self.context.catalogue.analytes().find(Some(code), "").is_some();
        let is_metric = code.is_some_and(|code| self.metrics.contains_key(code));
        if is_of("laboratory")
            || observation.category.is_empty() && !is_metric && code.is_some_and(is_analyte)
        {
            Category::Laboratory
        } else {
            Category::Vital
        }
    }

    fn vital(
        &self,
        observation: &Observation,
        result: &Measured,
        when: &When,
        place: &str,
        handler: Handler<'_>,
    ) -> Result<(), ReadError> {
        let Some(code) = result.code.as_ref().and_then(|code| code.code(LOINC)) else {
            return handler(Item::LeftOut("Observation.without.LOINC.code"));
        };
        let catalogue = self.context.catalogue;
        if code == EXERCISE_ACTIVITY && has_metric(catalogue) {
            let kind = result.text();
            let workout = Workout {
                kind: kind.as_deref(),
                source: source(observation),
                start: when.start,
                end: when.end,
                time_zone: when.zone.as_deref(),
                duration: None,
                energy: None,
                distance: None,
            };
            return workout.hand_over(catalogue, &|| place.to_owned(), handler);
        }
        let Some(metric) = self.metrics.get(code) else {
            return handler(Item::LeftOut(type_name(&format!("LOINC:{code}"))));
        };
        let quantity = result.value_quantity.as_ref();
        let number = quantity.and_then(|quantity| quantity.number()?.parse::<f64>().ok());
        let Some(value) = number.or_else(|| result.value_integer.map(|whole| whole as f64)) else {
            let problem = "its value is not a number".to_owned();
            return handler(Item::Bad { place: place.to_owned(), problem });
        };
        let comparator = quantity.and_then(|quantity| quantity.comparator.as_deref());
        let vital = NewVital {
            metric,
            value,
            comparator: comparator
                .map(|comparator| if comparator.starts_with('<') { "<" } else { ">" }),
            unit: quantity.and_then(|quantity| quantity.unit()).unwrap_or_default(),
            source: source(observation),
            started_at: when.start,
            ended_at: when.end,
            time_zone: when.zone.as_deref(),
            is_daily_total: false,
            workout_type: None,
        };
        hand_over_vital(vital, || place.to_owned(), handler)
    }

    fn lab(
        &self,
        observation: &Observation,
        result: &Measured,
        status: &str,
        when: &When,
        place: &str,
        handler: Handler<'_>,
    ) -> Result<(), ReadError> {
        let bad =
            |problem: &str| Item::Bad { place: place.to_owned(), problem: problem.to_owned() };
        let Some(value) = result.text() else {
            return handler(bad("its value is neither a number nor text"));
        };
        let code = result.code.as_ref();
        let loinc = code.and_then(|code| code.code(LOINC));
        let name = code.and_then(|code| code.name().or_else(|| code.any_code()));
        if loinc.is_none() && name.is_none() {
            return handler(bad("its test has neither a LOINC code nor a name"));
        }
        let range = result.range();
        let lab = NewLab {
            test_name: name.unwrap_or_default(),
            loinc_code: loinc,
            value_text: &value,
            unit: result.unit(),
            reference_range: range.as_deref(),
            flag: result.flag(),
            specimen: observation
                .specimen
                .as_ref()
                .and_then(|specimen| specimen.display.as_deref()),
            status,
            collected_at: when.start,
            time_zone: when.zone.as_deref(),
            source: source(observation),
        };
        hand_over_lab(lab, || place.to_owned(), handler)
    }

    fn when(&self, observation: &Observation) -> Result<Result<When, Time>, ReadError> {
        let period = observation.effective_period.as_ref();
        let start = observation.effective_date_time.as_deref();
        let start = start.or(observation.effective_instant.as_deref());
        let start = start.or_else(|| period.and_then(|period| period.start.as_deref()));
        let Some(start) = start else { return Ok(Err(Time::Invalid)) };
        let (start, zone) = match self.time(start)? {
            Time::At(start, zone) => (start, zone),
            other => return Ok(Err(other)),
        };
        let end = match period.and_then(|period| period.end.as_deref()) {
            Some(end) => match self.time(end)? {
                Time::At(end, _) => end,
                other => return Ok(Err(other)),
            },
            None => start,
        };
        Ok(Ok(When { start, end, zone }))
    }

    /// Reads a time. A date is the beginning of the local day.
    fn time(&self, text: &str) -> Result<Time, ReadError> {
        let given = || self.context.time_zone.map(|zone| zone.to_string());
        if let Some(time) = clock::with_offset(text) {
            let zone = clock::zone_of_offset(time).or_else(given);
            return Ok(Time::At(clock::instant(time), zone));
        }
        if let Ok(date) = text.parse::<NaiveDate>() {
            let zone = self.context.local_zone()?;
            return Ok(Time::At(zone.day_start(date), Some(zone.to_string())));
        }
        let is_partial = matches!(text.len(), 4 | 7)
            && text
                .bytes()
                .enumerate()
                .all(|(at, byte)| if at == 4 { byte == b'-' } else { byte.is_ascii_digit() });
        Ok(if is_partial { Time::Partial } else { Time::Invalid })
    }
}

/// The device, or else the laboratory or practice.
fn source(observation: &Observation) -> &str {
    let device = observation.device.as_ref().and_then(|device| device.display.as_deref());
    let performer = observation.performer.iter().find_map(|performer| performer.display.as_deref());
    device.or(performer).unwrap_or("FHIR")
}
