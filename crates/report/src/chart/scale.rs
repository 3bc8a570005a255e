//! The vertical axis: its range of values, and its lines.

use super::super::text;

/// The wanted number of lines: enough to read values, without a crowd.
const WANTED_TICKS: f64 = 4.0;

/// The minimum span of an axis, as a share of its values: a smaller one would magnify noise.
const NARROWEST: f64 = 0.02;

/// The tolerance of a division by a step: 36.4 / 0.2 is slightly less than 182.
const NOISE: f64 = 1e-9;

/// An axis from one value up to another; both have a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    /// An axis for amounts, which begins at 0.
    pub fn from_zero(greatest: f64) -> Self {
        let greatest = if greatest.is_finite() && greatest > 0.0 { greatest } else { 1.0 };
        let step = nice_step(greatest);
        Self { low: 0.0, high: (greatest / step).ceil() * step, step }
    }

    /// An axis for measurements: it spans little more than the values.
    pub fn around(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let (least, greatest) = finite
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if least > greatest {
            return None;
        }
        // For one value, or several nearly equal ones, the axis has lines on either side.
        let narrowest = (greatest.abs().max(least.abs()) * NARROWEST).max(1e-6);
        let span = greatest - least;
        let step = nice_step(span.max(narrowest));
        let beside = if span < narrowest { 1.0 } else { 0.0 };
        let low = ((least / step + NOISE).floor() - beside) * step;
        let high = ((greatest / step - NOISE).ceil() + beside) * step;
        Some(Self { low, high, step })
    }

    /// An axis for shares of a whole, in percent.
    pub const fn percent() -> Self {
        Self { low: 0.0, high: 100.0, step: 25.0 }
    }

    /// The position of a value on the axis, from 0 to 1.
    pub fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The lines, from the bottom up, with their labels.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let count = ((self.high - self.low) / self.step).round().clamp(1.0, 20.0) as i32;
        (0..=count)
            .map(|index| {
                let value = self.low + f64::from(index) * self.step;
                (value, text::tick(value, self.step))
            })
            .collect()
    }
}

/// The step of 1, 2 or 5 times a power of ten that gives about the wanted number of lines.
fn nice_step(span: f64) -> f64 {
    let raw = span / WANTED_TICKS;
    let power = 10_f64.powf(raw.log10().floor());
    let lead = raw / power;
    let nice = match lead {
        _ if lead < 1.5 => 1.0,
        _ if lead < 3.0 => 2.0,
        _ if lead < 7.0 => 5.0,
        _ => 10.0,
    };
    nice * power
}

#[cfg(test)]
mod tests {
    use super::Scale;

    fn labels(scale: &Scale) -> Vec<String> {
        scale.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn lines_are_at_numbers_that_people_count_by() {
        assert_eq!(labels(&Scale::from_zero(12_345.0)), ["0", "5,000", "10,000", "15,000"]);
        assert_eq!(labels(&Scale::from_zero(8.2)), ["0", "2", "4", "6", "8", "10"]);
        let rates = Scale::around([48.0, 187.0]).unwrap();
        assert_eq!(labels(&rates), ["0", "50", "100", "150", "200"]);
        assert_eq!(labels(&Scale::around([36.4, 36.9]).unwrap()).first().unwrap(), "36.2");
        assert_eq!(labels(&Scale::percent()), ["0", "25", "50", "75", "100"]);
    }

    #[test]
    fn one_value_has_room_around_it_and_none_has_no_axis() {
        for value in [0.0, 72.0, -3.5, 1e-4, 1e12] {
            let scale = Scale::around([value]).unwrap();
            let share = scale.share(value);
            assert!((0.0..=1.0).contains(&share), "{value}: {scale:?}");
            assert!(scale.ticks().len() >= 2, "{value}: {scale:?}");
        }
        assert_eq!(Scale::around([]), None);
        assert_eq!(Scale::around([f64::NAN, f64::INFINITY]), None);
        assert_eq!(Scale::from_zero(0.0).share(0.0), 0.0);
    }

    #[test]
    fn every_value_lies_on_its_axis() {
        for (least, greatest) in [(0.1, 0.3), (61.0, 61.5), (99.0, 10_001.0), (-5.0, 5.0)] {
            let scale = Scale::around([least, greatest]).unwrap();
            let ticks = scale.ticks();
            assert!(ticks.first().unwrap().0 <= least + 1e-9, "{ticks:?}");
            assert!(ticks.last().unwrap().0 >= greatest - 1e-9, "{ticks:?}");
            assert!((2..=8).contains(&ticks.len()), "{ticks:?}");
        }
    }
}
