//! Numbers that know what they rest on.

use serde::Serialize;

/// What a number rests on, the surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The store holds what was counted or timed.
    Measured,
    /// The mini edition's generator will write exactly so many.
    Generated,
    /// Scaled from what this study has measured of another stage.
    Scaled,
    /// Published counts: `[expect]` of a task file, a model's known sizes.
    Published,
    /// Declared as a mean: `[estimate]` of a task file, the mini edition's averages.
    Declared,
    /// A limit of the study on a number that nobody has given, or what a view is made of: at most so many.
    Limited,
    /// A default that stands for every dataset of the format.
    Assumed,
}

impl Basis {
    /// Whether the number is no estimate.
    pub fn is_exact(self) -> bool {
        self <= Basis::Generated
    }
}

/// A number and the least sure thing that it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// What it rests on.
    pub basis: Basis,
}

impl Estimate {
    /// Nothing, which is no estimate.
    pub const ZERO: Estimate = Estimate { value: 0.0, basis: Basis::Measured };

    /// A number.
    pub fn new(value: f64, basis: Basis) -> Self {
        Self { value, basis }
    }

    /// The number changed by `change`, which is sure.
    pub fn map(self, change: impl FnOnce(f64) -> f64) -> Self {
        Self { value: change(self.value), ..self }
    }

    /// As sure as `basis` at most.
    pub fn resting_on(self, basis: Basis) -> Self {
        Self { basis: self.basis.max(basis), ..self }
    }

    /// The product.
    pub fn times(self, other: Self) -> Self {
        self.map(|value| value * other.value).resting_on(other.basis)
    }

    /// The sum.
    pub fn plus(self, other: Self) -> Self {
        self.map(|value| value + other.value).resting_on(other.basis)
    }

    /// The sum of all, if all are known.
    pub fn sum(numbers: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        numbers.into_iter().try_fold(Self::ZERO, |sum, number| Some(sum.plus(number?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_as_sure_as_its_least_sure_part() {
        let (count, mean) = (Estimate::new(10.0, Basis::Published), Estimate::new(2.5, Basis::Assumed));
        assert_eq!(count.times(mean), Estimate::new(25.0, Basis::Assumed));
        assert_eq!(mean.plus(count), Estimate::new(12.5, Basis::Assumed));
        assert_eq!(Estimate::sum([Some(count), Some(count)]), Some(Estimate::new(20.0, Basis::Published)));
        assert_eq!(Estimate::sum([Some(count), None]), None);
        assert_eq!(Estimate::sum([]), Some(Estimate::ZERO));
        assert!(Basis::Generated.is_exact() && !Basis::Scaled.is_exact());
    }
}
