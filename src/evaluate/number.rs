//! The numbers that tables show of a metric: its values, and the mean that stands for a target.

use super::metric::Values;
use crate::task::Metric;

/// One value of a metric, or the mean of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// As tables have it: `f1`, `mean of f1 and exact_match`.
    pub name: String,
    places: Vec<usize>,
}

impl Number {
    /// The number, from the metric's values.
    pub fn of(&self, values: &Values) -> f64 {
        self.places.iter().map(|&place| values[place]).sum::<f64>() / self.places.len() as f64
    }
}

/// The number that stands for a target in tables: [`Metric::headline`], of several values their mean.
pub fn headline(metric: Metric) -> Number {
    let place = |name: &&str| metric.rows().iter().position(|row| row == name);
    let names = metric.headline();
    Number { name: headline_name(names), places: names.iter().filter_map(place).collect() }
}

/// Every value of the metric, and the headline number where it is none of them.
pub fn numbers(metric: Metric) -> Vec<Number> {
    let value = |(place, name): (usize, &&str)| Number { name: (*name).to_owned(), places: vec![place] };
    let values = metric.rows().iter().enumerate().map(value);
    let mean = (metric.headline().len() > 1).then(|| headline(metric));
    values.chain(mean).collect()
}

/// The headline number's name, from those of the values that it is the mean of.
pub fn headline_name(names: &[&str]) -> String {
    match names {
        [one] => (*one).to_owned(),
        several => format!("mean of {}", several.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::metric::{METRICS, padded};
    use super::*;

    #[test]
    fn the_mean_of_two_values_is_a_number_of_its_own() {
        let of = |metric| -> Vec<(String, f64)> {
            let values = padded([80.0, 60.0, 40.0, 20.0]);
            numbers(metric).into_iter().map(|number| (number.name.clone(), number.of(&values))).collect()
        };
        let named = |name: &str, value| (name.to_owned(), value);
        let squad = [named("exact_match", 80.0), named("f1", 60.0), named("mean of f1 and exact_match", 70.0)];
        assert_eq!(of(Metric::Mlqa), squad);
        assert_eq!(of(Metric::Accuracy), [named("accuracy", 80.0)]);
        assert_eq!(headline(Metric::SpanF1).name, "f1");
    }

    #[test]
    fn every_headline_value_is_a_row() {
        for metric in METRICS {
            assert_eq!(headline(metric).places.len(), metric.headline().len(), "{metric:?}");
        }
    }
}
