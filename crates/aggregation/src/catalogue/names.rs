//! The names of nutrients, and the normal form in which names are compared.

/// The nutrients: column names of `nutrition_raw` and `nutrition_daily`, each ending in its unit.
pub const NUTRIENTS: [&str; 32] = [
    "energy_kcal",
    "protein_g",
    "fat_g",
    "carbohydrate_g",
    "fiber_g",
    "sugar_g",
    "sodium_mg",
    "saturated_fat_g",
    "cholesterol_mg",
    "alcohol_g",
    "water_g",
    "caffeine_mg",
    "vitamin_a_ug",
    "vitamin_c_mg",
    "vitamin_d_ug",
    "vitamin_e_mg",
    "vitamin_k_ug",
    "thiamin_mg",
    "riboflavin_mg",
    "niacin_mg",
    "vitamin_b6_mg",
    "vitamin_b12_ug",
    "folate_ug",
    "calcium_mg",
    "iron_mg",
    "magnesium_mg",
    "phosphorus_mg",
    "potassium_mg",
    "zinc_mg",
    "copper_mg",
    "manganese_mg",
    "selenium_ug",
];

/// The text in lower case, trimmed, with single spaces.
pub(crate) fn tidy_name(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}
