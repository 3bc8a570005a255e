//! Meals: their energy, its sources, and the nutrients.

use aggregation::nutrition::{MealType, NUTRIENTS};
use maud::{Markup, html};
use store::NutritionSums;

use super::{Section, section};
use crate::chart::{Chart, Column, Fill, Frame, Part, Scale, Sign, columns, legend};
use crate::sheet::{Cell, DayTable, Sheet, feet, figure, scrollable};
use crate::steps::Step;
use crate::text;
use wording::{counted, thousands};

/// The fills of meals, in the order of [`MealType::ALL`].
const MEALS: [Fill; 5] = [Fill::BREAKFAST, Fill::LUNCH, Fill::DINNER, Fill::SNACK, Fill::OTHER];

/// The macronutrients, in the order in which they are stored.
const MACRONUTRIENTS: [(Fill, &str); 4] = [
    (Fill::CARBOHYDRATE, "carbohydrate"),
    (Fill::PROTEIN, "protein"),
    (Fill::FAT, "fat"),
    (Fill::ALCOHOL, "alcohol"),
];

/// The nutrients with a column in the table of days; the table of nutrients has all.
const IN_DAYS: [(&str, &str); 8] = [
    ("energy_kcal", "Energy kcal"),
    ("carbohydrate_g", "Carbohydrate g"),
    ("protein_g", "Protein g"),
    ("fat_g", "Fat g"),
    ("alcohol_g", "Alcohol g"),
    ("fiber_g", "Fibre g"),
    ("sugar_g", "Sugar g"),
    ("sodium_mg", "Sodium mg"),
];

/// The section, if there is food.
pub fn nutrition(sheet: &Sheet<'_>) -> Option<Section> {
    if !sheet.days.nutrition.iter().any(|day| day.item_count > 0) {
        return None;
    }
    let content = html! {
        div.pairs {
            (energy(sheet))
            (macronutrients(sheet))
        }
        (days(sheet))
        (nutrients(sheet))
    };
    Some(section("meals", "Meals", content))
}

fn energy(sheet: &Sheet<'_>) -> Markup {
    let days = &sheet.daily.nutrition;
    let known: Vec<f64> = days.iter().filter_map(|day| nutrient(day, "energy_kcal")).collect();
    let mean = (!known.is_empty()).then(|| {
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        format!("{} kcal{}", text::number(mean), sheet.on_average())
    });
    let says = sheet.says(days.iter().filter(|day| day.item_count > 0).count(), mean);
    let column = |day: &NutritionSums| {
        let parts: Vec<Part> = MEALS
            .iter()
            .zip(&day.meals)
            .filter_map(|(fill, meal)| Some(Part { fill: *fill, value: meal.energy_kcal? }))
            .collect();
        let energy = nutrient(day, "energy_kcal");
        let words = format!(
            "{}: {} kcal, {}",
            sheet.name_of(day.day.date),
            text::optional(energy),
            counted(day.item_count.into(), "item", "items"),
        );
        (!parts.is_empty()).then_some(Column { parts, frame: None, words })
    };
    let is_there = |index: usize| {
        let of = |day: &NutritionSums| day.meals.get(index).and_then(|meal| meal.energy_kcal);
        days.iter().any(|day| of(day).is_some())
    };
    let meals = MEALS.iter().zip(MealType::ALL).enumerate().rev();
    let signs: Vec<(Sign, &str)> = meals
        .filter(|(index, _)| is_there(*index))
        .map(|(_, (fill, meal))| (Sign::Fill(*fill), meal.name()))
        .collect();
    let of = Drawing {
        id: "meals-energy",
        heading: "Energy by meal",
        unit: "kcal",
        scale: Scale::from_zero,
        says,
    };
    of.draw(sheet, column, &signs)
}

fn macronutrients(sheet: &Sheet<'_>) -> Markup {
    let days = &sheet.daily.nutrition;
    let share = |day: &NutritionSums, index: usize| day.shares.get(index).copied().flatten();
    let known = days.iter().filter(|day| share(day, 0).is_some()).count();
    let total = |index: usize| -> f64 {
        let known = days.iter().filter(|day| share(day, 0).is_some());
        known.filter_map(|day| day.macronutrients.get(index).copied().flatten()).sum()
    };
    let totals: Vec<f64> = (0..MACRONUTRIENTS.len()).map(total).collect();
    let sum: f64 = totals.iter().sum();
    let shares = (sum > 0.0).then(|| {
        let percents: Vec<f64> = totals.iter().map(|energy| 100.0 * energy / sum).collect();
        let shares = MACRONUTRIENTS.iter().zip(&totals).zip(text::shares(&percents, 0));
        let shares = shares.filter(|((_, energy), _)| **energy > 0.0);
        let shares = shares.map(|(((_, name), _), share)| format!("{name} {share} %"));
        shares.collect::<Vec<_>>().join(", ")
    });
    let says = sheet.says(known, shares);
    let column = |day: &NutritionSums| {
        let parts: Vec<Part> = MACRONUTRIENTS
            .iter()
            .enumerate()
            .filter_map(|(index, (fill, _))| Some(Part { fill: *fill, value: share(day, index)? }))
            .collect();
        let known: Vec<(&str, f64)> = MACRONUTRIENTS
            .iter()
            .enumerate()
            .filter_map(|(index, (_, name))| Some((*name, share(day, index)?)))
            .collect();
        let percents: Vec<f64> = known.iter().map(|(_, share)| *share).collect();
        let shares = known.iter().zip(text::shares(&percents, 0));
        let shares = shares.map(|((name, _), share)| format!("{name} {share} %"));
        let shares = shares.collect::<Vec<_>>().join(", ");
        let words = format!("{}: {shares}", sheet.name_of(day.day.date));
        (!parts.is_empty()).then_some(Column { parts, frame: None, words })
    };
    let is_there =
        |index: usize| days.iter().any(|day| share(day, index).is_some_and(|share| share > 0.0));
    let signs: Vec<(Sign, &str)> = MACRONUTRIENTS
        .iter()
        .enumerate()
        .rev()
        .filter(|(index, _)| is_there(*index))
        .map(|(_, (fill, name))| (Sign::Fill(*fill), *name))
        .collect();
    let of = Drawing {
        id: "meals-macronutrients",
        heading: "Energy by macronutrient",
        unit: "% (4, 4, 9, 7 kcal/g)",
        scale: |_| Scale::percent(),
        says,
    };
    of.draw(sheet, column, &signs)
}

struct Drawing {
    id: &'static str,
    heading: &'static str,
    unit: &'static str,
    scale: fn(f64) -> Scale,
    says: String,
}

impl Drawing {
    fn draw(
        self,
        sheet: &Sheet<'_>,
        column: impl Fn(&NutritionSums) -> Option<Column>,
        signs: &[(Sign, &str)],
    ) -> Markup {
        let by_step = sheet.by_step(&sheet.days.nutrition, |day| day.day.date);
        let drawn: Vec<Option<Column>> = by_step.iter().map(|day| column(day.as_ref()?)).collect();
        if drawn.iter().all(Option::is_none) {
            return html! {};
        }
        let greatest = drawn.iter().flatten().map(Column::height).fold(0.0, f64::max);
        let feet = feet(&by_step, |day| &day.day);
        let chart = Chart {
            id: self.id.to_owned(),
            title: format!("{}{}, {}", self.heading, sheet.by(), sheet.when()),
            description: format!("{}. The table of figures has the same in numbers.", self.says),
            frame: Frame::SMALL,
            slots: &sheet.slots,
            scale: (self.scale)(greatest),
            feet: &feet,
        };
        let of_a_day = if sheet.step == Step::Day { "" } else { ", mean day" };
        let heading = format!("{}{of_a_day}", self.heading);
        let draw = |chart: &Chart<'_>| columns(chart, &drawn);
        figure(&chart, (&heading, self.unit), &self.says, draw, &legend(signs, &feet))
    }
}

fn nutrient(day: &NutritionSums, name: &str) -> Option<f64> {
    let index = NUTRIENTS.iter().position(|nutrient| *nutrient == name)?;
    day.nutrients.get(index).copied().flatten()
}

fn days(sheet: &Sheet<'_>) -> Markup {
    let head: Vec<&str> =
        std::iter::once("Items").chain(IN_DAYS.iter().map(|(_, head)| *head)).collect();
    let is_by_day = sheet.step == Step::Day;
    let ends: &[&str] = if is_by_day { &["First", "Last"] } else { &[] };
    let head: Vec<&str> = head.into_iter().chain(ends.iter().copied()).collect();
    let rows = sheet.days.nutrition.iter().map(|day| {
        let mut cells = vec![Cell::Text(thousands(day.item_count.into()))];
        cells.extend(IN_DAYS.iter().map(|(name, _)| Cell::Number(nutrient(day, name))));
        let clock = |at: Option<aggregation::Timestamp>| {
            at.map_or_else(|| text::NONE.to_owned(), |at| text::clock(at, &day.day.time_zone))
        };
        if is_by_day {
            cells.extend([clock(day.first_eaten_at), clock(day.last_eaten_at)].map(Cell::Text));
        }
        sheet.row(day.day.date, cells, sheet.notes(&day.day, []))
    });
    let of_a_day = if is_by_day { "" } else { ", amounts of a mean day" };
    let caption = format!("meals{of_a_day} (– is not known, which is not 0)");
    sheet.table(&DayTable { caption, head: &head, rows: rows.collect() })
}

/// The table of all nutrients with a known amount on any day.
fn nutrients(sheet: &Sheet<'_>) -> Markup {
    let of = |index: usize| -> Vec<f64> {
        let value = |day: &NutritionSums| day.nutrients.get(index).copied().flatten();
        sheet.daily.nutrition.iter().filter_map(value).collect()
    };
    let known: Vec<(&str, Vec<f64>)> = NUTRIENTS
        .iter()
        .enumerate()
        .map(|(index, name)| (*name, of(index)))
        .filter(|(_, values)| !values.is_empty())
        .collect();
    html! {
        details.figures open[sheet.opens_tables()] {
            summary { "Figures: nutrients over the days that know them" }
            (scrollable("Nutrients", &html! {
                table {
                    thead {
                        tr {
                            th scope="col" { "Nutrient" }
                            th scope="col" { "Unit" }
                            @for head in ["Days", "Mean of a day", "Least", "Most"] {
                                th.number scope="col" { (head) }
                            }
                        }
                    }
                    tbody {
                        @for (name, values) in &known {
                            @let (name, unit) = named(name);
                            @let sum: f64 = values.iter().sum();
                            @let least = values.iter().copied().fold(f64::INFINITY, f64::min);
                            @let most = values.iter().copied().fold(0.0, f64::max);
                            @let figures = [sum / values.len() as f64, least, most].map(Some);
                            tr {
                                th scope="row" { (name) }
                                td { (unit) }
                                td.number { (thousands(values.len() as i64)) }
                                @for figure in text::column(&figures, None) { td.number { (figure) } }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// Splits a column's name into the nutrient's name and its unit.
fn named(column: &str) -> (String, String) {
    let (name, unit) = column.rsplit_once('_').unwrap_or((column, ""));
    let name = text::title(name).replace("Fiber", "Fibre");
    let name = match name.rsplit_once(' ') {
        // Vitamins have a letter and a number instead of a word.
        Some(("Vitamin", letter)) => format!("Vitamin {}", letter.to_uppercase()),
        _ => name,
    };
    (name, text::unit(unit))
}
