//! Mean and spread without rounding: sums of doubles as expansions (Shewchuk, Discrete Comput Geom
//! 1997;18:305), rounded once at the end. Products are split exactly by a fused multiply-add.

/// A number as an exact sum of doubles that do not overlap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exact(Vec<f64>);

impl Exact {
    pub(crate) fn sum(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut sum = Self::default();
        numbers.into_iter().for_each(|number| sum.add(number));
        sum
    }

    /// Adds one double. The part that does not fit into one partial is carried to the next
    /// (Shewchuk's GROW-EXPANSION with Knuth's TWO-SUM).
    fn add(&mut self, number: f64) {
        let mut carried = number;
        for partial in &mut self.0 {
            let sum = carried + *partial;
            let from_partial = sum - carried;
            let lost = (carried - (sum - from_partial)) + (*partial - from_partial);
            *partial = lost;
            carried = sum;
        }
        self.0.push(carried);
        self.0.retain(|partial| *partial != 0.0);
    }

    fn times(&self, other: &Self) -> Self {
        let mut product = Self::default();
        for one in &self.0 {
            for another in &other.0 {
                let high = one * another;
                product.add(high);
                product.add(one.mul_add(*another, -high));
            }
        }
        product
    }

    fn minus(mut self, other: &Self) -> Self {
        other.0.iter().for_each(|partial| self.add(-partial));
        self
    }

    /// The nearest double, up to the last bit: partials grow, so the smallest is added first.
    pub(crate) fn rounded(&self) -> f64 {
        self.0.iter().sum()
    }
}

fn count(numbers: &[f64]) -> Exact {
    Exact::sum([numbers.len() as f64])
}

pub(crate) fn mean(numbers: &[f64]) -> f64 {
    Exact::sum(numbers.iter().copied()).rounded() / numbers.len() as f64
}

/// The sample standard deviation: n Σx² − (Σx)² is exact, and 0 if all numbers are equal.
pub(crate) fn stddev(numbers: &[f64]) -> Option<f64> {
    let n = numbers.len() as f64;
    let sum = Exact::sum(numbers.iter().copied());
    let mut squares = Exact::default();
    for number in numbers {
        let number = Exact::sum([*number]);
        for partial in number.times(&number).0 {
            squares.add(partial);
        }
    }
    let spread = squares.times(&count(numbers)).minus(&sum.times(&sum)).rounded();
    (numbers.len() > 1).then(|| (spread / (n * (n - 1.0))).sqrt())
}

#[test]
fn what_doubles_cancel_is_kept() {
    assert_eq!(Exact::sum([1e100, 1.0, -1e100]).rounded(), 1.0);
    assert_eq!(Exact::sum([0.1; 10]).rounded(), 1.0);
    assert_eq!(stddev(&[1e8 + 1.0, 1e8 + 2.0, 1e8 + 3.0]), Some(1.0));
    assert_eq!(stddev(&[0.1, 0.1, 0.1]), Some(0.0));
    assert_eq!(stddev(&[0.1]), None);
}
