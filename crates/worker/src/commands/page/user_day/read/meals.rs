//! Meals of a day.

use aggregation::nutrition::{self, DayBuilder, NUTRIENTS, NutritionDay, RawMeal};
use aggregation::raw::Context;
use aggregation::{Kind, Reason};
use chrono::NaiveDate;
use store::{NutritionSums, ReadMode, Store, StoreError, UserDays};

use crate::commands::page::user_day::day::{Figure, Pair, Row, Section};
use crate::commands::page::user_day::words;

pub(super) async fn section(
    store: &Store,
    context: &Context<'_>,
    days: &UserDays,
    date: NaiveDate,
) -> Result<Option<Section>, StoreError> {
    let (base, nutrients) = (context.base_zone, context.catalogue.nutrients());
    let mut reading = store.reading(Kind::Nutrition, &days.user_id).await?;
    let mut rows: Vec<RawMeal> = Vec::new();
    let mut builder = DayBuilder::new(date, base, nutrients);
    let mut verdicts: Vec<Option<Reason>> = Vec::new();
    let visit = |row: RawMeal| {
        verdicts.push(builder.add(&row).err());
        rows.push(row);
        Ok(())
    };
    reading.visit_meals(date, ReadMode::InPortions, visit).await?;
    reading.end().await?;
    let day: Option<NutritionDay> = builder.finish();
    let stored = days.nutrition.first();
    let shown: Vec<Row> = rows
        .iter()
        .zip(&verdicts)
        .filter_map(|(row, reason)| {
            let of_row = nutrition::date_of(row, base);
            if of_row.is_some_and(|of_row| of_row != date) {
                return None;
            }
            let (verdict, why) = match reason {
                None => ("counts", "Each amount that it knows is in the sums.".to_owned()),
                Some(reason) => ("rejected", words::of_reason(*reason)),
            };
            Some(Row {
                id: row.id,
                kind: Kind::Nutrition,
                name: format!("{}: {}", row.meal_type, row.food_name),
                source: row.source.clone(),
                starts_at: row.eaten_at,
                ends_at: row.eaten_at,
                value: row.nutrients[0].map(|energy| energy.to_string()),
                unit: Some("kcal".to_owned()),
                verdict,
                counts: reason.is_none(),
                why,
                part: row.nutrients[0].filter(|_| reason.is_none()),
            })
        })
        .collect();
    if stored.is_none() && shown.is_empty() {
        return Ok(None);
    }
    Ok(Some(Section {
        figures: figures(&Pair { stored, computed: day.as_ref() }),
        row: stored.map(|stored| stored.day.clone()),
        ..Section::new("nutrition_daily", "nutrition", "", shown)
    }))
}

fn figures(pair: &Pair<'_, NutritionSums, NutritionDay>) -> Vec<Figure> {
    let mut figures = vec![
        pair.count("items", |of| Some(of.item_count), |of| Some(of.item_count)),
        pair.count("rejected", |of| of.day.rejected, |of| Some(of.rejected_count)),
    ];
    let totals = NUTRIENTS.into_iter().enumerate().map(|(index, nutrient)| {
        let stored = |of: &NutritionSums| of.nutrients.get(index).copied().flatten();
        pair.number(nutrient, stored, |of| of.totals[index])
    });
    figures.extend(totals.filter(Figure::is_there));
    figures
}
