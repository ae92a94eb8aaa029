//! Whether a surface is taken exactly or to a tolerance.

use crate::error::{LabError, Result};
use crate::measure;
use std::fmt;
use thalweg_methods::surface::{
    AdaptiveSurface, ClassLosses, Plane, Surface as Found, Tolerance, adaptive_surface, surface,
    surface_by_class, surface_cost,
};
use thalweg_methods::{Context, Objective};
use thalweg_nn::Weights;
use thalweg_record::{AdaptiveErrors, AdaptiveSummary, Explanation, Surface, SurfaceAttributes};

/// Up to so many floating-point operations a surface is exact unless a tolerance is asked for:
/// some minutes of a few cores.
pub const EXACT_UP_TO: u64 = 10_000_000_000_000;

/// The tolerance of larger surfaces, unless another or none is asked for.
pub const USUAL: f64 = 0.01;

/// How a surface is to be taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effort {
    /// Exactly up to [`EXACT_UP_TO`], to the tolerance [`USUAL`] beyond.
    Auto,
    /// Exactly.
    Exact,
    /// To a tolerance.
    Within(Tolerance),
}

impl Effort {
    /// What `--tolerance` and `--exact` ask for.
    ///
    /// # Errors
    /// `Usage` for a tolerance that is none, or both.
    pub fn new(tolerance: Option<f64>, exact: bool) -> Result<Effort> {
        let fault = |text: String| Err(LabError::Usage(text));
        match (tolerance, exact) {
            (Some(_), true) => fault("--exact: expected it without --tolerance".into()),
            (None, true) => Ok(Effort::Exact),
            (None, false) => Ok(Effort::Auto),
            (Some(tolerance), false) => match Tolerance::new(tolerance) {
                Ok(tolerance) => Ok(Effort::Within(tolerance)),
                Err(_) => fault(format!("--tolerance {tolerance}: expected above 0 and below 1")),
            },
        }
    }

    /// Takes a surface, and says on the way what it costs.
    ///
    /// # Errors
    /// Those of the methods.
    pub fn take(
        self,
        ctx: &Context<'_>,
        objective: &dyn Objective,
        centre: &Weights,
        planes: &[Plane],
        x: &[f64],
        y: &[f64],
    ) -> Result<Taken> {
        self.take_by_class(ctx, objective, centre, planes, (x, y), false)
    }

    /// [`Effort::take`], and with `per_class` the loss of each class, where it is exact.
    ///
    /// # Errors
    /// Those of the methods.
    pub fn take_by_class(
        self,
        ctx: &Context<'_>,
        objective: &dyn Objective,
        centre: &Weights,
        planes: &[Plane],
        (x, y): (&[f64], &[f64]),
        per_class: bool,
    ) -> Result<Taken> {
        let points = (planes.len() * x.len() * y.len()) as u64;
        let plan = match planes.first() {
            Some(plane) => {
                let together = x.len() * y.len();
                Some(surface_cost(ctx, objective, centre, plane, together)?)
            }
            None => None,
        };
        let each = plan.map_or(0, |plan| plan.flops);
        let whole = each.saturating_mul(points);
        let tolerance = match self {
            Effort::Exact => None,
            Effort::Auto if whole <= EXACT_UP_TO => None,
            Effort::Auto => Some(Tolerance::new(USUAL)?),
            Effort::Within(tolerance) => Some(tolerance),
        };
        let say = |text: String| ctx.progress().message(&text);
        let Some(tolerance) = tolerance else {
            let at_once = plan.map(|p| format!(", {} at once in {}", p.together, memory(p.memory)));
            let at_once = at_once.unwrap_or_default();
            say(format!("{points} points exactly: {}{at_once}", operations(whole)));
            let (surface, classes) = match per_class {
                false => (surface(ctx, objective, centre, planes, x, y)?, None),
                true => {
                    let (found, classes) = surface_by_class(ctx, objective, centre, planes, x, y)?;
                    (found, Some(classes))
                }
            };
            return Ok(Taken { surface, adaptive: None, classes });
        };
        say(format!(
            "{points} points to a tolerance of {}: at most {}, which --exact takes",
            tolerance.value(),
            operations(whole)
        ));
        let found = adaptive_surface(ctx, objective, centre, planes, x, y, tolerance)?;
        let examples = (objective.examples() as u64).max(1);
        let spent = u128::from(each) * u128::from(found.evaluations) / u128::from(examples);
        say(format!(
            "{} of {points} points evaluated, {:.1} % of the losses of an exact surface: {}",
            found.evaluated(),
            100.0 * found.evaluations as f64 / (points * examples) as f64,
            operations(u64::try_from(spent).unwrap_or(u64::MAX))
        ));
        let surface = found.surface.clone();
        Ok(Taken { surface, adaptive: Some((tolerance.value(), found)), classes: None })
    }
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effort::Auto => f.write_str("auto"),
            Effort::Exact => f.write_str("exact"),
            Effort::Within(tolerance) => write!(f, "{}", tolerance.value()),
        }
    }
}

/// A surface that was taken, and what there is beyond if it is to a tolerance.
pub struct Taken {
    /// Its values.
    pub surface: Found,
    adaptive: Option<(f64, AdaptiveSurface)>,
    classes: Option<ClassLosses>,
}

impl Taken {
    /// As a record has it.
    ///
    /// # Errors
    /// None for what a method gives.
    pub fn record(&self, mut attributes: SurfaceAttributes) -> Result<Surface> {
        attributes.tolerance = self.adaptive.as_ref().map(|(tolerance, _)| *tolerance);
        let mut record = measure::surface(&self.surface, attributes)?;
        record.adaptive = self.adaptive.as_ref().map(|(_, found)| AdaptiveErrors {
            sampling: found.sampling_error.clone(),
            interpolation: found.interpolation_error.clone(),
            samples: found.samples.clone(),
        });
        record.classes = self.classes.as_ref().map(|found| thalweg_record::ClassLosses {
            classes: found.classes.clone(),
            examples: found.examples.iter().map(|&n| n as u32).collect(),
            loss: found.loss.clone(),
            standard_error: found.standard_error.clone(),
        });
        record.check()?;
        Ok(record)
    }

    /// How many losses of all the examples it took.
    pub(crate) fn losses(&self, examples: usize) -> f64 {
        match &self.adaptive {
            Some((_, found)) => found.evaluations as f64 / examples.max(1) as f64,
            None => self.surface.loss.len() as f64,
        }
    }

    /// How it came about, if it is to a tolerance.
    pub fn summary(&self, record: &Surface) -> Option<AdaptiveSummary> {
        let (tolerance, found) = self.adaptive.as_ref()?;
        let centre = self.surface.centre.loss;
        let [sampling, interpolation] = record.errors_in_tolerances(centre, *tolerance)?;
        Some(AdaptiveSummary {
            tolerance: *tolerance,
            evaluated: found.evaluated() as u64,
            evaluations: found.evaluations,
            held_out: found.held_out as u64,
            beyond_tolerance: found.beyond as u64,
            sampling,
            interpolation,
        })
    }
}

/// How large the errors of a surface to a tolerance are, in a sentence or two.
pub(crate) fn explanation(summary: &AdaptiveSummary, points: u64) -> Explanation {
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let how = format!(
        "To a tolerance of {}: an error may be this share of |L - L_c| + |L_c|, with the loss L_c \
         at the centre. Of {points} points {} were evaluated, each on as many examples as its \
         variance asks for, and the others interpolated. Twice the standard error is {} of what is \
         allowed at the median point; it covers sampling. The error of interpolation, an estimate, \
         is {} at the median interpolated point; of {} points held out to judge it {} were off by \
         more than is allowed.",
        summary.tolerance,
        summary.evaluated,
        percent(summary.sampling),
        percent(summary.interpolation),
        summary.held_out,
        summary.beyond_tolerance
    );
    crate::command::explain("Errors of the surface", how)
}

/// Floating-point operations as a person reads them.
pub fn operations(flops: u64) -> String {
    let (value, unit) = match flops as f64 {
        n if n >= 1e12 => (n / 1e12, "TFLOP"),
        n if n >= 1e9 => (n / 1e9, "GFLOP"),
        n => (n / 1e6, "MFLOP"),
    };
    format!("{value:.3} {unit}")
}

/// Bytes of memory as a person reads them.
pub fn memory(bytes: usize) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_told_apart() {
        let text = |tolerance, exact| Effort::new(tolerance, exact).map(|e| e.to_string());
        assert_eq!(text(None, false).unwrap(), "auto");
        assert_eq!(text(None, true).unwrap(), "exact");
        assert_eq!(text(Some(0.01), false).unwrap(), "0.01");
        for tolerance in [0.0, -1.0, 1.0, f64::NAN] {
            assert_eq!(Effort::new(Some(tolerance), false).unwrap_err().exit_code(), 2);
        }
        assert!(text(Some(0.1), true).unwrap_err().to_string().contains("without --tolerance"));
    }

    #[test]
    fn operations_have_units() {
        assert_eq!(operations(83_200_000_000_000), "83.200 TFLOP");
        assert_eq!(operations(1_500_000), "1.500 MFLOP");
    }
}
