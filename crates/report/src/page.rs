//! The whole page.

use std::collections::BTreeSet;

use aggregation::catalogue::Catalogue;
use chrono::NaiveDate;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use store::{UserDays, UserReport};

use super::chart::patterns;
use super::sections::{
    Section, blood_pressure, glucose, labs, nutrition, quality, sleep, summary, vitals,
};
use super::sheet::{Sheet, all_days};
use super::steps::{Step, merged};
use super::text;
use super::units::{UnitChoice, in_units};
use wording::counted;

const STYLE: &str = include_str!("style.css");

/// The content security policy: the page loads no resource and runs no script, for any text in the
/// database.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// A user's days as a self-contained HTML page, in the chosen units. Many days are drawn by week or month.
pub fn page(report: &UserReport, catalogue: &Catalogue, units: UnitChoice) -> String {
    let shown = in_units(report, catalogue, units);
    let days = &shown.days;
    let step = Step::for_days((days.to - days.from).num_days() + 1);
    let by_step = (step != Step::Day).then(|| merged(days, step));
    let sheet = Sheet::new(report, &shown, (by_step.as_ref().unwrap_or(days), step), catalogue);
    let title = format!("Daily figures of user {}, {}", days.user_id, sheet.when());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="referrer" content="no-referrer";
                meta name="robots" content="noindex, nofollow";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body.print-tables[sheet.prints_tables()] {
                (patterns())
                (header(&sheet))
                main { (notices(days)) (content(&sheet)) }
                (footer(days))
            }
        }
    };
    let mut text = page.into_string();
    text.push('\n');
    text
}

fn header(sheet: &Sheet<'_>) -> Markup {
    let days = sheet.daily;
    let count = sheet.day_slots.count() as i64;
    let partial: BTreeSet<NaiveDate> =
        all_days(days).filter(|day| day.is_partial).map(|day| day.date).collect();
    let partial: Vec<String> = partial.into_iter().map(text::short_date).collect();
    let frozen = days.frozen_before.filter(|before| days.from < *before);
    let drawn = match sheet.step {
        Step::Day => String::new(),
        _ => format!(", drawn{}", sheet.by()),
    };
    let zone = match (&days.profile_zone, &sheet.zone) {
        (Some(profile), Some(zone)) if profile == zone => format!("{zone} (the profile's)"),
        (_, Some(zone)) => format!("{zone} (of most days)"),
        (Some(profile), None) => format!("{profile} (the profile's)"),
        (None, None) => text::NONE.to_owned(),
    };
    html! {
        header {
            p.kind { "Daily figures" }
            h1 { "User " (days.user_id) ", " (sheet.when()) }
            dl {
                div { dt { "Span" } dd { (counted(count, "day", "days")) (drawn) } }
                div { dt { "Time zone" } dd { (zone) } }
                div { dt { "As of" } dd { (text::instant(days.as_of)) } }
                @if let Some(before) = frozen {
                    div { dt { "Frozen" } dd { "days before " (before) } }
                }
                @if !partial.is_empty() {
                    div { dt { "Not ended when computed" } dd { (partial.join(", ")) } }
                }
            }
        }
    }
}

fn notices(days: &UserDays) -> Markup {
    let waiting = days.waiting;
    let are = |rows: i64| if rows == 1 { "waits" } else { "wait" };
    html! {
        @if waiting.near > 0 {
            p.notice role="note" {
                strong { "These figures are not up to date. " }
                (counted(waiting.rows, "changed raw row", "changed raw rows")) " of this user "
                (are(waiting.rows)) " in the queue, "
                (wording::thousands(waiting.near)) " of them in or near these days."
            }
        } @else if waiting.rows > 0 {
            p.notice role="note" {
                strong { "Figures of this user are not up to date. " }
                (counted(waiting.rows, "changed raw row", "changed raw rows")) " "
                (are(waiting.rows)) " in the queue, none of them near these days."
            }
        }
        @if waiting.dead > 0 {
            p.notice role="note" {
                strong { "Figures of this user may be wrong. " }
                (counted(waiting.dead, "changed raw row is", "changed raw rows are"))
                " dead after the last attempt; worker status says what to do."
            }
        }
    }
}

fn content(sheet: &Sheet<'_>) -> Markup {
    let days = sheet.daily;
    if all_days(days).next().is_none() {
        return html! {
            p.empty { (nothing(days)) }
            @if !days.rejected.is_empty() { (quality::quality(sheet).draw()) }
        };
    }
    let sections = [
        Some(summary::summary(sheet)),
        vitals::heart_rate(sheet),
        blood_pressure::blood_pressure(sheet),
        glucose::glucose(sheet),
        sleep::sleep(sheet),
        vitals::activity(sheet),
        nutrition::nutrition(sheet),
        vitals::others(sheet),
        labs::labs(sheet),
        Some(quality::quality(sheet)),
    ];
    let sections: Vec<Section> = sections.into_iter().flatten().collect();
    html! {
        nav aria-label="Sections" {
            ul {
                @for section in &sections {
                    li { a href=(format!("#{}", section.id)) { (section.heading) } }
                }
            }
        }
        p.small { "A day without data is a gap, never 0. Point at a mark for its figures." }
        @for section in &sections { (section.draw()) }
    }
}

/// The sentence that explains an empty page.
pub fn nothing(days: &UserDays) -> String {
    let (user, from, to) = (days.user_id.clone(), days.from, days.to);
    let range = if from == to { format!("on {from}") } else { format!("from {from} to {to}") };
    match days.extent {
        Some((first, last)) => format!(
            "There are no figures of user {user} {range}; those that there are go from {first} to {last}."
        ),
        None if days.is_known => {
            format!("There are no figures of user {user} {range}, nor of any other day.")
        }
        None => format!(
            "There are no figures of user {user} {range}: nothing in this database belongs to that user."
        ),
    }
}

fn footer(days: &UserDays) -> Markup {
    html! {
        footer {
            p {
                strong { "This page is not a diagnosis. " }
                "It shows what devices, apps and laboratories recorded, folded into local days. It judges "
                "no value and replaces no examination; flags, categories and bands are those of the "
                "sources named here."
            }
            h2 { "Where each figure is defined" }
            ul {
                li { "Every figure: in the comment at its column, as \\d+ vitals_daily shows it in psql. Figures are rounded here." }
                li { "Vitals: totals count overlapping sources once, as Android Health Connect does; means are over samples; percentiles have a relative error of at most 1 %." }
                li { "Blood pressure: pairs within 5 s; categories of ACC/AHA 2017 (Whelton et al., Hypertension 2018;71:e13)." }
                li { "Glucose: bands of the consensus (Battelino et al., Diabetes Care 2019;42:1593); GMI: Bergenstal et al., Diabetes Care 2018;41:2275; GRI: Klonoff et al., J Diabetes Sci Technol 2023;17:1226; an episode lasts at least 15 minutes." }
                li { "Ambulatory glucose profile: percentiles of all readings within half an hour of each time of day (Bergenstal et al., Diabetes Technol Ther 2013;15:198; Danne et al., Diabetes Care 2017;40:1631)." }
                li { "Weeks are those of ISO 8601, from Monday; a week or month has the days of the span only. Shares are rounded so that they add up to 100." }
                li { "Sleep: by the local date of waking; efficiency is the time asleep in percent of that in bed." }
                li { "Meals: sums of what is known; energy by macronutrients with 4, 4, 9 and 7 kcal per gram of carbohydrate, protein, fat and alcohol." }
                li { "Laboratory results: the last of each day; flags are the laboratory's own, else from the range printed with the result." }
            }
            p.small {
                "Made by dayfold worker " (env!("CARGO_PKG_VERSION")) " from one moment of the database, "
                (text::instant(days.as_of)) ". It holds health data: keep it as you keep those."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::STYLE;

    /// The colours of a block of custom properties.
    fn colours(block: &str) -> BTreeMap<&str, [f64; 3]> {
        let properties = block.split(';').filter_map(|line| line.trim().strip_prefix("--"));
        let colour = |text: &str| {
            let digits = text.trim().strip_prefix('#')?;
            let part =
                |at: usize| Some(f64::from(u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?));
            Some([part(0)?, part(2)?, part(4)?])
        };
        properties
            .filter_map(|line| line.split_once(':'))
            .filter_map(|(name, of)| Some((name, colour(of)?)))
            .collect()
    }

    /// The contrast ratio of WCAG 2.
    fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
        let luminance = |colour: [f64; 3]| {
            let linear = colour.map(|part| {
                let part = part / 255.0;
                if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
            });
            0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        };
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn texts_and_marks_have_the_contrast_of_wcag_aa_in_light_and_dark() {
        let mut blocks = STYLE.split(":root {").skip(1).map(|of| of.split('}').next().unwrap());
        let light = colours(blocks.next().unwrap());
        let dark = colours(blocks.next().unwrap());
        assert!(light.len() > 20 && light.len() == dark.len(), "{light:?} {dark:?}");
        for (theme, of) in [("light", light), ("dark", dark)] {
            for ground in ["paper", "tint", "notice"] {
                for text in ["ink", "soft"] {
                    let found = contrast(of[text], of[ground]);
                    assert!(found >= 4.5, "{theme}: {text} on {ground} is {found:.2}");
                }
            }
            let link = contrast(of["accent"], of["paper"]);
            assert!(link >= 4.5, "{theme}: links have {link:.2}");
            // Graphics need 3 to 1: marks and lines, and the outline of areas.
            for mark in ["mark", "reference-line", "soft", "notice-line"] {
                let found = contrast(of[mark], of["paper"]);
                assert!(found >= 3.0, "{theme}: {mark} on paper is {found:.2}");
            }
            for area in ["range", "half", "reference"] {
                let found = contrast(of["mark"], of[area]);
                assert!(found >= 3.0, "{theme}: the mark on {area} is {found:.2}");
            }
        }
    }
}
