//! Formats numbers, dates, units and names for people.

use aggregation::Timestamp;
use aggregation::local_time::Zone;
use chrono::NaiveDate;

use wording::thousands;

/// The text for a missing figure.
pub const NONE: &str = "–";

/// Numbers from here on are written with an exponent.
const LARGE: f64 = 1e7;

/// Figures below this are written with an exponent, too, since rounding would show 0.
const TINY: f64 = 5e-4;

/// Results below this are written with an exponent; results are rounded less than figures.
const TINY_RESULT: f64 = 1e-4;

/// A rounded figure: to whole numbers from 1,000 on, to a tenth from 10 on, to a hundredth from 1
/// on, else to a thousandth.
pub fn number(value: f64) -> String {
    let amount = value.abs();
    if amount > 0.0 && amount < TINY {
        return with_exponent(value);
    }
    rounded(value, decimals(amount))
}

fn decimals(amount: f64) -> usize {
    match amount {
        _ if amount >= 1000.0 => 0,
        _ if amount >= 10.0 => 1,
        _ if amount >= 1.0 => 2,
        _ => 3,
    }
}

/// A figure, or [`NONE`].
pub fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| NONE.to_owned(), number)
}

/// A figure with this number of decimal places, or [`NONE`].
pub fn places(value: Option<f64>, places: usize) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| rounded(value, places))
}

/// The numbers of a column, all with the same number of decimals: as many as [`number`] gives the
/// greatest, but not more than some number needs, and enough for the least one not to be 0.
pub fn column(values: &[Option<f64>], most: Option<usize>) -> Vec<String> {
    let known = || values.iter().flatten().copied().filter(|value| value.is_finite());
    if known().any(|value| value.abs() >= LARGE || (value != 0.0 && value.abs() < TINY)) {
        return values.iter().map(|value| optional(*value)).collect();
    }
    let amounts = || known().map(f64::abs).filter(|amount| *amount > 0.0);
    let greatest = decimals(amounts().fold(0.0, f64::max));
    let least = amounts().fold(f64::INFINITY, f64::min);
    let for_least = (0..3).find(|places| least >= 0.5 * 0.1_f64.powi(*places)).unwrap_or(3);
    let wanted = most.unwrap_or(greatest.max(for_least as usize));
    let needed = |value: f64| rounded(value, wanted).split_once('.').map_or(0, |(_, of)| of.len());
    let places = known().map(needed).max().unwrap_or(0);
    values.iter().map(|value| value.map_or_else(|| NONE.to_owned(), |v| fixed(v, places))).collect()
}

/// Shares that are rounded to this number of decimals and still add up to 100 percent, by the method of
/// the largest remainder. Shares that do not add up to about 100 are only rounded.
pub fn shares(percents: &[f64], places: usize) -> Vec<f64> {
    let unit = 10_f64.powi(i32::try_from(places).unwrap_or(0));
    let sum: f64 = percents.iter().sum();
    let is_whole = (sum - 100.0).abs() <= 0.5;
    if !is_whole || percents.iter().any(|percent| *percent < 0.0) {
        return percents.iter().map(|percent| (percent * unit).round() / unit).collect();
    }
    let exact: Vec<f64> = percents.iter().map(|percent| percent * 100.0 / sum * unit).collect();
    let mut whole: Vec<f64> = exact.iter().map(|share| share.floor()).collect();
    let missing = (100.0 * unit - whole.iter().sum::<f64>()).round().max(0.0) as usize;
    let mut order: Vec<usize> = (0..exact.len()).collect();
    let rest = |at: &usize| exact.get(*at).map_or(0.0, |share| share.fract());
    order.sort_by(|a, b| rest(b).total_cmp(&rest(a)));
    for at in order.into_iter().take(missing) {
        if let Some(share) = whole.get_mut(at) {
            *share += 1.0;
        }
    }
    whole.into_iter().map(|share| share / unit).collect()
}

/// A count, or [`NONE`].
pub fn count(value: Option<i32>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| thousands(i64::from(value)))
}

/// The maximum number of digits that laboratories report; more digits come from a conversion.
const REPORTED_DIGITS: usize = 6;

/// The digits of converted results, which are no more exact than the reported ones.
const CONVERTED_DIGITS: usize = 4;

/// A laboratory's result as reported, without digits that come from a conversion.
pub fn result(value: f64) -> String {
    let (whole, fraction) = digits(value);
    if whole + fraction > REPORTED_DIGITS {
        converted(value)
    } else {
        shortened(value, REPORTED_DIGITS)
    }
}

/// A result in another unit than the one in which it was reported.
pub fn converted(value: f64) -> String {
    shortened(value, CONVERTED_DIGITS)
}

/// The numbers of digits before and after the decimal point.
fn digits(value: f64) -> (usize, usize) {
    let amount = value.abs();
    let whole = if amount < 1.0 { 0 } else { amount.log10().floor() as usize + 1 };
    let written = amount.to_string();
    (whole, written.split_once('.').map_or(0, |(_, fraction)| fraction.len()))
}

/// A number rounded to this number of digits.
fn shortened(value: f64, known: usize) -> String {
    let amount = value.abs();
    if amount > 0.0 && amount < TINY_RESULT {
        return with_exponent(value);
    }
    let (whole, fraction) = digits(value);
    rounded(value, fraction.min(known.saturating_sub(whole)))
}

/// The label of an axis line.
pub fn tick(value: f64, step: f64) -> String {
    let places = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    rounded(value, places)
}

fn rounded(value: f64, places: usize) -> String {
    let text = fixed(value, places);
    match text.split_once('.') {
        Some((whole, fraction)) if !text.contains('e') => {
            let fraction = fraction.trim_end_matches('0');
            let point = if fraction.is_empty() { "" } else { "." };
            format!("{whole}{point}{fraction}")
        }
        _ => text,
    }
}

/// A number with exactly this number of decimals, unless it is large.
pub fn fixed(value: f64, places: usize) -> String {
    let amount = value.abs();
    if !value.is_finite() {
        return NONE.to_owned();
    }
    if amount >= LARGE {
        return with_exponent(value);
    }
    let text = format!("{amount:.places$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let is_zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), thousands);
    let sign = if value < 0.0 && !is_zero { "−" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

fn with_exponent(value: f64) -> String {
    format!("{value:.2e}").replace('-', "−")
}

/// A day: `Fri 1 March 2024`.
pub fn date(date: NaiveDate) -> String {
    date.format("%a %-d %B %Y").to_string()
}

/// A day in a table: `Fri 1 Mar 2024`.
pub fn short_date(date: NaiveDate) -> String {
    date.format("%a %-d %b %Y").to_string()
}

/// A span of days: `1 March 2024 to 31 March 2024`.
pub fn span(from: NaiveDate, to: NaiveDate) -> String {
    let day = |date: NaiveDate| date.format("%-d %B %Y").to_string();
    if from == to { day(from) } else { format!("{} to {}", day(from), day(to)) }
}

/// The local time of day: `23:41`.
pub fn clock(instant: Timestamp, zone: &str) -> String {
    match zone.parse::<Zone>() {
        Ok(zone) => zone.clock(instant).format("%H:%M").to_string(),
        Err(_) => instant.to_utc().format("%H:%M UTC").to_string(),
    }
}

/// An instant, for readers of logs: `2024-03-01 10:00 UTC`.
pub fn instant(instant: Timestamp) -> String {
    instant.to_utc().format("%Y-%m-%d %H:%M UTC").to_string()
}

/// Minutes as hours and minutes: `7 h 05 min`.
pub fn duration(minutes: Option<f64>) -> String {
    let Some(minutes) = minutes.filter(|minutes| minutes.is_finite()) else {
        return NONE.to_owned();
    };
    let whole = minutes.round().max(0.0) as i64;
    match whole / 60 {
        0 => format!("{whole} min"),
        hours => format!("{hours} h {:02} min", whole % 60),
    }
}

/// Minutes as hours and minutes for a narrow column: `7:05`.
pub fn hours(minutes: Option<f64>) -> String {
    let Some(minutes) = minutes.filter(|minutes| minutes.is_finite()) else {
        return NONE.to_owned();
    };
    let whole = minutes.round().max(0.0) as i64;
    format!("{}:{:02}", whole / 60, whole % 60)
}

/// A UCUM unit as people write it; an unknown unit stays UCUM.
pub fn unit(ucum: &str) -> String {
    match ucum {
        "mm[Hg]" => "mmHg".to_owned(),
        "Cel" => "°C".to_owned(),
        "[degF]" => "°F".to_owned(),
        "/min" => "per minute".to_owned(),
        "[lb_av]" => "lb".to_owned(),
        "[mi_i]" => "mi".to_owned(),
        "[ft_i]" => "ft".to_owned(),
        "[in_i]" => "in".to_owned(),
        "1" => String::new(),
        // An annotation in braces is a separate word, as in {steps}.
        _ => ucum.replace(['{', '}'], "").replace("ug", "µg"),
    }
}

/// Words in the catalogue's names with a spelling of their own.
const ACRONYMS: [(&str, &str); 3] = [("sdnn", "SDNN"), ("vo2", "VO₂"), ("rmssd", "RMSSD")];

/// A name of the catalogue, or a column, as a title: `heart_rate` is `Heart rate`.
pub fn title(name: &str) -> String {
    let words = name.split('_').enumerate().map(|(index, word)| {
        if let Some((_, written)) = ACRONYMS.iter().find(|(acronym, _)| *acronym == word) {
            return (*written).to_owned();
        }
        let mut letters = word.chars();
        match letters.next() {
            Some(first) if index == 0 => first.to_uppercase().chain(letters).collect(),
            _ => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A name of the catalogue, or a column, for the middle of a sentence.
pub fn name(name: &str) -> String {
    let title = title(name);
    let mut letters = title.chars();
    match letters.next() {
        Some(first) if !title.starts_with("VO₂") => first.to_lowercase().chain(letters).collect(),
        _ => title,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rounded_for_the_eye_and_never_minus_zero() {
        let written = [7000.000000000002, 72.349, 5.675, 0.1234, -0.0001, -36.6, 0.0].map(number);
        assert_eq!(written, ["7,000", "72.3", "5.67", "0.123", "−1.00e−4", "−36.6", "0"]);
        assert_eq!(number(f64::NAN), NONE);
        assert_eq!(number(1e300), "1.00e300");
        assert_eq!(rounded(-0.0004, 2), "0");
    }

    #[test]
    fn results_stay_as_reported_and_converted_ones_are_rounded() {
        let written = [5.6, 96.3963963, 0.0123, 1_234_567.0, 12_345.678].map(result);
        assert_eq!(written, ["5.6", "96.4", "0.0123", "1,234,567", "12,346"]);
        let written = [0.904_977_375, 7.00044, 5.0, 0.5].map(converted);
        assert_eq!(written, ["0.905", "7", "5", "0.5"]);
    }

    #[test]
    fn a_column_has_as_many_decimals_as_one_of_its_numbers_needs() {
        let written =
            |values: &[f64]| column(&values.iter().copied().map(Some).collect::<Vec<_>>(), None);
        assert_eq!(written(&[71.0, 60.5]), ["71.0", "60.5"]);
        assert_eq!(written(&[121.0, 76.0]), ["121", "76"]);
        assert_eq!(written(&[1_200.4, 0.3]), ["1,200.4", "0.3"]);
        assert_eq!(written(&[9.126, 2.0]), ["9.13", "2.00"]);
        assert_eq!(written(&[-0.04, 12.5]), ["−0.04", "12.50"]);
        assert_eq!(written(&[0.0, 0.0]), ["0", "0"]);
        assert_eq!(column(&[None, Some(1.5)], None), [NONE, "1.5"]);
        assert_eq!(column(&[Some(33.333), Some(66.0)], Some(1)), ["33.3", "66.0"]);
        assert_eq!(written(&[1e9, 2.0]), ["1.00e9", "2"]);
    }

    #[test]
    fn rounded_shares_add_up_to_a_hundred() {
        let third = 100.0 / 3.0;
        assert_eq!(shares(&[third; 3], 0), [34.0, 33.0, 33.0]);
        assert_eq!(shares(&[third; 3], 1), [33.4, 33.3, 33.3]);
        assert_eq!(shares(&[0.4, 0.4, 99.2], 0), [1.0, 0.0, 99.0]);
        assert_eq!(shares(&[0.0, 100.0], 1), [0.0, 100.0]);
        assert_eq!(shares(&[0.0, 0.0], 0), [0.0, 0.0]);
        for seed in 1..97_u32 {
            let parts: Vec<f64> = (1..=5).map(|n| f64::from(seed * n * n % 97)).collect();
            let sum = parts.iter().sum::<f64>().max(1.0);
            let percents: Vec<f64> = parts.iter().map(|part| 100.0 * part / sum).collect();
            for places in [0, 1] {
                let total: f64 = shares(&percents, places).iter().sum();
                assert!((total - 100.0).abs() < 1e-9, "{percents:?}: {total}");
            }
        }
    }

    #[test]
    fn lines_have_the_places_of_their_step() {
        assert_eq!(tick(0.30000000000000004, 0.1), "0.3");
        assert_eq!(tick(36.6, 0.2), "36.6");
        assert_eq!(tick(15_000.0, 5_000.0), "15,000");
    }

    #[test]
    fn durations_and_titles_are_written_as_people_do() {
        assert_eq!(duration(Some(425.4)), "7 h 05 min");
        assert_eq!(duration(Some(59.4)), "59 min");
        assert_eq!(duration(None), NONE);
        assert_eq!(hours(Some(425.4)), "7:05");
        assert_eq!(title("heart_rate_variability_sdnn"), "Heart rate variability SDNN");
        assert_eq!(name("vo2_max"), "VO₂ max");
        assert_eq!(name("resting_heart_rate"), "resting heart rate");
        assert_eq!(unit("{steps}"), "steps");
        assert_eq!(unit("mm[Hg]"), "mmHg");
    }
}
