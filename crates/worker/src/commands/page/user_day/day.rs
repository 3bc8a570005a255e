//! A user's day as it is shown.

use aggregation::{Kind, Timestamp, UserId};
use chrono::NaiveDate;
use store::DayRow;

/// A user's day.
#[derive(Debug)]
pub struct Day {
    pub user_id: UserId,
    pub date: NaiveDate,
    /// The profile's zone, else the default one.
    pub time_zone: String,
    pub has_profile: bool,
    /// The profile's sources, best first.
    pub source_order: Vec<String>,
    /// Whether the figures of the date are frozen.
    pub is_frozen: bool,
    /// Changed raw rows near the date that wait in the queue.
    pub waiting: i64,
    /// Changed raw rows of the user that are dead.
    pub dead: i64,
    pub sections: Vec<Section>,
}

/// A row of a daily table, and the raw rows that made it.
#[derive(Debug)]
pub struct Section {
    pub table: &'static str,
    pub name: String,
    pub unit: String,
    /// The circumstances of the stored row; none if nothing is stored.
    pub row: Option<DayRow>,
    pub figures: Vec<Figure>,
    pub rows: Vec<Row>,
}

impl Section {
    /// Without figures.
    pub fn new(table: &'static str, name: &str, unit: &str, rows: Vec<Row>) -> Self {
        let (name, unit) = (name.to_owned(), unit.to_owned());
        Self { table, name, unit, row: None, figures: Vec::new(), rows }
    }

    /// Whether what is stored is what the raw rows give now.
    pub fn agrees(&self) -> bool {
        self.figures.iter().all(|figure| figure.agree)
    }
}

/// A figure as it is stored, and as the raw rows give it now.
#[derive(Debug)]
pub struct Figure {
    pub name: &'static str,
    pub stored: Option<String>,
    pub computed: Option<String>,
    /// To the last bit.
    pub agree: bool,
}

/// A row of a daily table, and the figures that the raw rows give now. Makes figures out of both.
#[derive(Debug)]
pub struct Pair<'d, S, C> {
    pub stored: Option<&'d S>,
    pub computed: Option<&'d C>,
}

impl<S, C> Pair<'_, S, C> {
    /// A count.
    pub fn count(
        &self,
        name: &'static str,
        stored: impl Fn(&S) -> Option<i32>,
        computed: impl Fn(&C) -> Option<i32>,
    ) -> Figure {
        let text = |count: i32| count.to_string();
        self.text(name, |of| stored(of).map(text), |of| computed(of).map(text))
    }

    /// A number.
    pub fn number(
        &self,
        name: &'static str,
        stored: impl Fn(&S) -> Option<f64>,
        computed: impl Fn(&C) -> Option<f64>,
    ) -> Figure {
        Figure::number(name, self.stored.and_then(stored), self.computed.and_then(computed))
    }

    /// A text.
    pub fn text(
        &self,
        name: &'static str,
        stored: impl Fn(&S) -> Option<String>,
        computed: impl Fn(&C) -> Option<String>,
    ) -> Figure {
        let (stored, computed) = (self.stored.and_then(stored), self.computed.and_then(computed));
        let agree = stored == computed;
        Figure { name, stored, computed, agree }
    }
}

impl Figure {
    /// A number, which is rounded for the eye where both are the same.
    fn number(name: &'static str, stored: Option<f64>, computed: Option<f64>) -> Self {
        let agree = stored.map(f64::to_bits) == computed.map(f64::to_bits);
        let text = |value: Option<f64>| {
            value.map(|value| if agree { rounded(value) } else { value.to_string() })
        };
        Self { name, stored: text(stored), computed: text(computed), agree }
    }

    /// Whether there is any.
    pub const fn is_there(&self) -> bool {
        self.stored.is_some() || self.computed.is_some()
    }
}

/// A raw row, and the verdict on it.
#[derive(Debug)]
pub struct Row {
    pub id: i64,
    pub kind: Kind,
    pub name: String,
    pub source: String,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub value: Option<String>,
    pub unit: Option<String>,
    /// In a word or two.
    pub verdict: &'static str,
    pub counts: bool,
    /// In a sentence.
    pub why: String,
    /// Its contribution to a total.
    pub part: Option<f64>,
}

/// A number to six significant digits.
pub fn rounded(value: f64) -> String {
    let amount = value.abs();
    if amount == 0.0 || !(1e-4..1e9).contains(&amount) {
        return value.to_string();
    }
    let places = (5 - amount.log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{value:.places$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Figure, rounded};

    #[test]
    fn numbers_are_rounded_for_the_eye_and_shown_whole_where_they_differ() {
        let shown = [1050.0, 72.348_999_999, 0.123_456_789, -5.0, 0.0].map(rounded);
        assert_eq!(shown, ["1050", "72.349", "0.123457", "-5", "0"]);
        let same = Figure::number("mean", Some(0.1 + 0.2), Some(0.1 + 0.2));
        assert_eq!((same.stored.as_deref(), same.agree), (Some("0.3"), true));
        let other = Figure::number("mean", Some(0.1 + 0.2), Some(0.3));
        assert_eq!(other.stored.as_deref(), Some("0.30000000000000004"));
        assert!(!other.agree);
    }
}
