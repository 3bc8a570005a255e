//! The meals that apps write.

/// The meal that a row belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MealType {
    /// `breakfast`
    Breakfast,
    /// `lunch`
    Lunch,
    /// `dinner`
    Dinner,
    /// `snack`
    Snack,
    /// `other`
    Other,
}

/// The longest label. Longer texts are no labels.
const LONGEST_LABEL_BYTES: usize = 128;

/// The words of meals: English, German, French, Spanish, Italian, Portuguese, Dutch. The first
/// entry with a synonym in the label decides. So `snack` comes first for a morning snack and a
/// snack after lunch, and breakfast comes before lunch for a petit déjeuner.
///
/// Brunch counts as lunch. `almuerzo` and `comida` are the midday meal, as in most countries that
/// use the words.
const SYNONYMS: [(MealType, &[&str]); 4] = [
    (
        MealType::Snack,
        &[
            "snack",
            "snacks",
            "snacking",
            "elevenses",
            "afternoon tea",
            "zwischenmahlzeit",
            "zwischenmahlzeiten",
            "jause",
            "collation",
            "collations",
            "goûter",
            "gouter",
            "merienda",
            "meriendas",
            "tentempié",
            "tentempie",
            "spuntino",
            "spuntini",
            "merenda",
            "lanche",
            "lanches",
            "tussendoortje",
            "tussendoortjes",
        ],
    ),
    (
        MealType::Breakfast,
        &[
            "breakfast",
            "breakfasts",
            "frühstück",
            "fruhstuck",
            "fruehstueck",
            "petit déjeuner",
            "petit dejeuner",
            "desayuno",
            "colazione",
            "prima colazione",
            "café da manhã",
            "cafe da manha",
            "pequeno almoço",
            "pequeno almoco",
            "ontbijt",
        ],
    ),
    (
        MealType::Lunch,
        &[
            "lunch",
            "lunches",
            "brunch",
            "luncheon",
            "mittagessen",
            "mittag",
            "déjeuner",
            "dejeuner",
            "almuerzo",
            "comida",
            "pranzo",
            "almoço",
            "almoco",
            "middageten",
        ],
    ),
    (
        MealType::Dinner,
        &[
            "dinner",
            "dinners",
            "supper",
            "abendessen",
            "abendbrot",
            "dîner",
            "diner",
            "souper",
            "cena",
            "jantar",
            "avondeten",
        ],
    ),
];

impl MealType {
    /// Every meal type, in the order of [`NutritionDay::meals`](super::NutritionDay::meals).
    pub const ALL: [Self; 5] =
        [Self::Breakfast, Self::Lunch, Self::Dinner, Self::Snack, Self::Other];

    /// The name in raw rows, and the prefix of the daily columns.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Breakfast => "breakfast",
            Self::Lunch => "lunch",
            Self::Dinner => "dinner",
            Self::Snack => "snack",
            Self::Other => "other",
        }
    }

    /// Reads a label by the synonyms in it, ignoring case and punctuation: `Snacks`,
    /// `Morning snack`, `brunch`, `meal_type_dinner`. Any other label is [`MealType::Other`], so
    /// that the energy of its meal is never lost.
    pub fn read(label: &str) -> Self {
        if label.len() > LONGEST_LABEL_BYTES {
            return Self::Other;
        }
        let lower = label.to_lowercase();
        let words: Vec<&str> =
            lower.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).collect();
        let words = format!(" {} ", words.join(" "));
        let has = |synonym: &&str| words.contains(&format!(" {synonym} "));
        let known = SYNONYMS.iter().find(|(_, synonyms)| synonyms.iter().any(has));
        known.map_or(Self::Other, |(meal, _)| *meal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_meal_type_is_read_from_its_name_whatever_the_case() {
        for meal in MealType::ALL {
            assert_eq!(MealType::read(meal.name()), meal);
            assert_eq!(MealType::read(&format!(" {} ", meal.name().to_uppercase())), meal);
        }
    }

    #[test]
    fn synonyms_are_read_and_unknown_labels_are_other() {
        for (label, meal) in [
            ("Snacks", MealType::Snack),
            ("Morning Snack", MealType::Snack),
            ("snack_2", MealType::Snack),
            ("Snack after dinner", MealType::Snack),
            ("MEAL_TYPE_BREAKFAST", MealType::Breakfast),
            ("second breakfast", MealType::Breakfast),
            ("Frühstück", MealType::Breakfast),
            ("Petit-déjeuner", MealType::Breakfast),
            ("café da manhã", MealType::Breakfast),
            ("brunch", MealType::Lunch),
            ("déjeuner", MealType::Lunch),
            ("Mittagessen", MealType::Lunch),
            ("supper", MealType::Dinner),
            ("Dîner", MealType::Dinner),
            ("Cena", MealType::Dinner),
            ("unknown", MealType::Other),
            ("Anytime", MealType::Other),
            ("lunchbox", MealType::Other),
            ("1", MealType::Other),
            ("", MealType::Other),
        ] {
            assert_eq!(MealType::read(label), meal, "{label}");
        }
        assert_eq!(MealType::read(&"snack ".repeat(1000)), MealType::Other);
    }

    #[test]
    fn no_synonym_is_listed_twice_and_each_is_as_labels_are_compared() {
        let mut all: Vec<&str> = SYNONYMS.iter().flat_map(|(_, words)| *words).copied().collect();
        assert!(all.iter().all(|word| {
            *word == word.to_lowercase() && word.chars().all(|c| c.is_alphabetic() || c == ' ')
        }));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
