//! Configurations of instruments by the names of their options.

use super::{Along, Cost, Instrument, Quantity, Size};
use crate::curvature::CurvatureMatrix;
use crate::{Context, MethodError, Objective};
use thalweg_nn::Weights;

/// What is set of an instrument's configuration: names of options with their values.
pub type Settings = [(String, String)];

/// A type that an option may have.
pub(crate) trait OptionValue: Sized {
    /// What would do.
    const EXPECTED: &'static str;

    /// From a text.
    fn from_text(text: &str) -> Option<Self>;
}

/// Draws, points and products beyond which no option goes: what is made for each of them fits into
/// memory, and what they are multiplied with into a number.
const LARGEST: usize = 1_000_000;

impl OptionValue for usize {
    const EXPECTED: &'static str = "a whole number up to 1000000";

    fn from_text(text: &str) -> Option<usize> {
        text.parse().ok().filter(|&number| number <= LARGEST)
    }
}

impl OptionValue for f64 {
    const EXPECTED: &'static str = "a number";

    fn from_text(text: &str) -> Option<f64> {
        text.parse().ok()
    }
}

impl<T: OptionValue> OptionValue for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_text(text: &str) -> Option<Option<T>> {
        T::from_text(text).map(Some)
    }
}

impl OptionValue for String {
    const EXPECTED: &'static str = "a name";

    fn from_text(text: &str) -> Option<String> {
        (!text.is_empty()).then(|| text.to_owned())
    }
}

impl OptionValue for CurvatureMatrix {
    const EXPECTED: &'static str =
        "a curvature matrix, as gauss-newton, without -diagonal or -kfac";

    fn from_text(text: &str) -> Option<CurvatureMatrix> {
        text.parse().ok()
    }
}

/// The value of an option.
///
/// # Errors
/// A text that is none.
pub(super) fn option_value<T: OptionValue>(name: &str, text: &str) -> Result<T, MethodError> {
    T::from_text(text).ok_or_else(|| MethodError::config(name, T::EXPECTED, format!("{text:?}")))
}

/// An instrument with its configuration.
pub trait Configured: Send + Sync {
    /// The passes over the data that it takes.
    fn cost(&self, size: &Size) -> Cost;

    /// Measures, and shows the reading; away from a run of training nothing is known along the way.
    ///
    /// # Errors
    /// Those of the instrument.
    fn measure(
        &self,
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        along: &Along<'_>,
    ) -> Result<Vec<Quantity>, MethodError>;
}

struct Of<I: Instrument>(I::Config);

impl<I: Instrument> Configured for Of<I>
where
    I::Config: Send + Sync,
{
    fn cost(&self, size: &Size) -> Cost {
        I::cost(&self.0, size)
    }

    fn measure(
        &self,
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        along: &Along<'_>,
    ) -> Result<Vec<Quantity>, MethodError> {
        Ok(I::quantities(&I::measure_along(ctx, objective, point, &self.0, along)?))
    }
}

/// An instrument with some of its options set; `set` sets the one of a name, and says whether there
/// is one.
///
/// # Errors
/// An option that is none; a value that is none.
pub(super) fn configured<I>(
    watching: bool,
    settings: &Settings,
    options: &[&str],
    set: impl Fn(&mut I::Config, &str, &str) -> Result<bool, MethodError>,
) -> Result<Box<dyn Configured>, MethodError>
where
    I: Instrument + 'static,
    I::Config: Send + Sync + 'static,
{
    let mut config = if watching { I::watch() } else { I::Config::default() };
    for (name, text) in settings {
        if !set(&mut config, name, text)? {
            let expected = match options {
                [] => "no options".to_owned(),
                options => format!("some of {}", options.join(", ")),
            };
            return Err(MethodError::config("options", expected, name));
        }
    }
    Ok(Box::new(Of::<I>(config)))
}

#[cfg(test)]
mod tests {
    use super::super::{INSTRUMENTS, instrument};
    use super::*;

    fn one(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn every_option_can_be_set_and_what_is_none_is_told() {
        for entry in INSTRUMENTS {
            let with = |name: &str, text: &str| (entry.configured)(false, &one(name, text));
            for option in entry.options {
                let taken =
                    ["7", "0.5", "name", "fisher"].iter().any(|text| with(option, text).is_ok());
                assert!(taken, "{}: {option}", entry.id);
                let error = with(option, "").err().unwrap().to_string();
                assert!(error.starts_with(&format!("{option}: expected a ")), "{error}");
            }
            let error = with("nothing", "1").err().unwrap().to_string();
            assert!(
                error.starts_with("options: expected ") && error.ends_with("nothing"),
                "{error}"
            );
            assert!((entry.configured)(true, &[]).is_ok());
        }
    }

    #[test]
    fn numbers_that_nobody_can_mean_are_refused() {
        for entry in INSTRUMENTS {
            for option in entry.options {
                let with = |text: &str| (entry.configured)(false, &one(option, text));
                // Real numbers and names have no such limit.
                let whole = with("7").is_ok() && with("7.5").is_err();
                assert!(!whole || with("1000000000000000000").is_err(), "{}: {option}", entry.id);
            }
        }
    }

    #[test]
    fn what_is_set_is_what_is_measured_with() {
        let hutchinson = instrument("hutchinson").unwrap();
        let size = Size { parameters: 1000, examples: 100, sampled: false };
        let cost = |settings: &[(String, String)]| {
            (hutchinson.configured)(false, settings).unwrap().cost(&size).passes().products
        };
        assert_eq!(cost(&one("probes", "7")), 7.0);
        assert_eq!(cost(&[]), (hutchinson.cost)(&size).passes().products);
    }
}
