//! The ambulatory glucose profile of the days.

use aggregation::glucose::profile::{FEWEST_DAYS, Profile, profile as compute};
use maud::{Markup, html};

use crate::chart::{Chart, Line, Moment, Scale, Sign, Slots, legend, profile as draw};
use crate::sheet::{Sheet, figure, scrollable};
use crate::text;
use crate::units::GlucoseUnit;
use wording::{counted, thousands};

/// The days that the consensus asks for, and how many of them must have enough readings: 70 percent.
const DAYS_OF_CONSENSUS: (i64, i64) = (14, 10);

/// The times of day in the table, in minutes.
const LISTED_MINUTES: u32 = 60;

/// The heads of the percentiles in the table.
const HEADS: [&str; 5] = ["5 %", "25 %", "Median", "75 %", "95 %"];

/// The target range in a unit, as the consensus gives it.
const fn target(unit: GlucoseUnit) -> (f64, f64) {
    match unit {
        GlucoseUnit::MgPerDl => (70.0, 180.0),
        GlucoseUnit::MmolPerL => (3.9, 10.0),
    }
}

/// The profile, or why there is none.
pub fn profile(sheet: &Sheet<'_>) -> Markup {
    let Some(dates) = sheet.report.profile_dates.filter(|_| !sheet.is_one_day()) else {
        return html! {};
    };
    let Some(profile) = compute(&sheet.report.glucose, dates, &sheet.context()) else {
        return html! {};
    };
    if profile.points.iter().all(|point| point.percentiles.is_none()) {
        return html! {
            p.small {
                "No profile of a day is drawn: it needs readings near the same time of day on at least "
                (FEWEST_DAYS) " days."
            }
        };
    }
    html! { (chart(sheet, &profile, dates)) (table(sheet, &profile)) }
}

fn chart(
    sheet: &Sheet<'_>,
    profile: &Profile,
    (from, to): (chrono::NaiveDate, chrono::NaiveDate),
) -> Markup {
    let unit = sheet.glucose_unit;
    let shown = |of: [f64; 5]| of.map(|value| unit.show(value, sheet.catalogue));
    let moment = |hour: f64, of: Option<[f64; 5]>| Moment { hour, percentiles: of.map(shown) };
    let mut moments: Vec<Moment> = profile
        .points
        .iter()
        .map(|point| moment(f64::from(point.minute) / 60.0, point.percentiles))
        .collect();
    // The day ends as it begins.
    moments.extend(profile.points.first().map(|first| moment(24.0, first.percentiles)));
    let (low, high) = target(unit);
    let values = moments.iter().filter_map(|moment| moment.percentiles).flatten();
    let Some(scale) = Scale::around(values.chain([low, high])) else { return html! {} };
    let slots = Slots::clock();
    let says = format!("{}; {}", text::span(from, to), evidence(sheet, profile));
    let chart = Chart {
        id: "glucose-profile".to_owned(),
        title: format!("Ambulatory glucose profile, {}", text::span(from, to)),
        description: format!(
            "{says}. Percentiles of all readings by the time of day. The table has the same in numbers."
        ),
        frame: sheet.main_frame(),
        slots: &slots,
        scale,
        feet: &[],
    };
    let band = match unit {
        GlucoseUnit::MgPerDl => "dashed: the range from 70 to 180 mg/dL",
        GlucoseUnit::MmolPerL => "dashed: the range from 3.9 to 10.0 mmol/L",
    };
    let signs = [
        (Sign::Median, "median"),
        (Sign::Half, "25 to 75 % of the readings"),
        (Sign::Range, "5 to 95 % of the readings"),
        (Sign::Line, band),
    ];
    let target = Line { slots: (0, slots.count()), low: Some(low), high: Some(high) };
    let heading = ("Ambulatory glucose profile", unit.ucum());
    figure(&chart, heading, &says, |chart| draw(chart, target, &moments), &legend(&signs, &[]))
}

/// The readings behind the profile, measured against what the consensus asks for.
fn evidence(sheet: &Sheet<'_>, profile: &Profile) -> String {
    let readings = counted(profile.readings as i64, "reading", "readings");
    let days = counted(profile.days as i64, "day", "days");
    let is_enough = |row: &&store::GlucoseDay| row.is_sufficient == Some(true);
    let enough = sheet.daily.glucose.iter().filter(is_enough).count() as i64;
    let (wanted, needed) = DAYS_OF_CONSENSUS;
    let mut says = format!("{readings} of {days}");
    if enough < needed {
        says.push_str(&format!(
            "; too few for the consensus, which asks for {wanted} days with 70 % of their readings: {} {} enough",
            thousands(enough),
            if enough == 1 { "day has" } else { "days have" },
        ));
    }
    says
}

fn table(sheet: &Sheet<'_>, profile: &Profile) -> Markup {
    let listed: Vec<_> = profile
        .points
        .iter()
        .filter(|point| point.minute.is_multiple_of(LISTED_MINUTES))
        .filter_map(|point| Some((point.minute, point.percentiles?)))
        .collect();
    let unit = sheet.glucose_unit;
    let places = if unit == GlucoseUnit::MmolPerL { 1 } else { 0 };
    let value = |value: f64| text::fixed(unit.show(value, sheet.catalogue), places);
    html! {
        details.figures {
            summary { "Figures: glucose by time of day, " (unit.ucum()) }
            (scrollable("Glucose by time of day", &html! {
                table {
                    thead {
                        tr {
                            th scope="col" { "Time" }
                            @for head in HEADS { th.number scope="col" { (head) } }
                        }
                    }
                    tbody {
                        @for (minute, percentiles) in &listed {
                            tr {
                                th scope="row" { (format!("{:02}:{:02}", minute / 60, minute % 60)) }
                                @for percentile in percentiles { td.number { (value(*percentile)) } }
                            }
                        }
                    }
                }
            }))
            p.small {
                "Percentiles of the readings from half an hour before to half an hour after each time."
            }
        }
    }
}
