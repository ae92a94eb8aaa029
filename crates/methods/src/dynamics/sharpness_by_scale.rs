//! How the sharpness of networks of several sizes goes along with training.

use crate::common::{Objective, evaluate};
use crate::curvature::{
    Curvature, CurvatureMatrix, HutchinsonConfig, LanczosConfig, Scope, hutchinson, lanczos,
};
use crate::{Context, MethodError};
use thalweg_nn::Weights;
use thalweg_stats::Estimate;

/// A network of one size, where training took it.
#[derive(Clone, Copy)]
pub struct SizedRun<'a> {
    /// Its loss.
    pub objective: &'a dyn Objective,
    /// Its weights at each time.
    pub points: &'a [Weights],
    /// What curvature is multiplied with so that sizes can be compared: the square of
    /// [`thalweg_nn::Parametrization::gamma`], with which a threshold of `2 / rate` is the same at every size.
    pub factor: f64,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharpnessConfig {
    /// How many of the largest eigenvalues.
    pub top: usize,
    /// Products that they may take.
    pub products: usize,
    /// Random vectors for the trace; none: no trace.
    pub probes: usize,
}

impl Default for SharpnessConfig {
    fn default() -> SharpnessConfig {
        SharpnessConfig { top: 1, products: 30, probes: 0 }
    }
}

/// The curvature of one network at one time, times the factor of its size.
#[derive(Clone, Debug, PartialEq)]
pub struct SharpnessAt {
    /// The loss.
    pub loss: f64,
    /// The largest eigenvalues of the Hessian, descending.
    pub top: Vec<f64>,
    /// Its trace, if it was asked for.
    pub trace: Option<Estimate>,
}

/// The largest eigenvalues and the trace of the Hessian of networks of several sizes along their training, for
/// each size one at each time. None where a network has diverged: where its loss or a product with its Hessian
/// is not finite.
///
/// # Errors
/// No eigenvalue asked for, fewer products than eigenvalues, one probe; a factor that is not positive;
/// weights of another model; those of the engine.
/// # Source    Noci, Meterez, Hofmann, Orvieto, Super consistency of neural network landscapes and
/// learning rate transfer, 2024, arXiv 2402.17457, section 3
pub fn sharpness_by_scale(
    ctx: &Context<'_>,
    runs: &[SizedRun<'_>],
    config: &SharpnessConfig,
) -> Result<Vec<Vec<Option<SharpnessAt>>>, MethodError> {
    let total = runs.iter().map(|run| run.points.len() as u64).sum();
    ctx.progress().start("sharpness by scale", total);
    let mut found = Vec::with_capacity(runs.len());
    for (size, run) in runs.iter().enumerate() {
        if !(run.factor > 0.0 && run.factor.is_finite()) {
            return Err(MethodError::config("factor of a size", "a positive number", run.factor));
        }
        let mut of_size = Vec::with_capacity(run.points.len());
        for (time, point) in run.points.iter().enumerate() {
            let ctx = ctx.within(&format!("size{size}/time{time}"));
            of_size.push(match at(&ctx, run, point, config) {
                Err(MethodError::NotFinite { .. }) => None,
                other => other?,
            });
            ctx.progress().advance(1);
        }
        found.push(of_size);
    }
    Ok(found)
}

fn at(
    ctx: &Context<'_>,
    run: &SizedRun<'_>,
    point: &Weights,
    config: &SharpnessConfig,
) -> Result<Option<SharpnessAt>, MethodError> {
    let loss = evaluate(ctx, run.objective, point)?.loss;
    if !loss.is_finite() {
        return Ok(None);
    }
    let (hessian, scope) = (CurvatureMatrix::Hessian, Scope::default());
    let operator = Curvature::new(ctx, run.objective, point, hessian, &scope)?;
    let SharpnessConfig { top, products, probes } = *config;
    let wanted = LanczosConfig { top, max_products: products, ..LanczosConfig::default() };
    let pairs = lanczos(ctx, &operator, &wanted)?.top;
    let trace = match probes {
        0 => None,
        probes => {
            let wanted = HutchinsonConfig { probes, ..HutchinsonConfig::default() };
            let Estimate { value, standard_error, samples } =
                hutchinson(ctx, &operator, &pairs, &wanted)?.trace;
            let (value, standard_error) = (value * run.factor, standard_error * run.factor);
            Some(Estimate { value, standard_error, samples })
        }
    };
    let top = pairs.iter().map(|pair| pair.value * run.factor).collect();
    Ok(Some(SharpnessAt { loss, top, trace }))
}

/// How far some number is apart between sizes: for each size but the last, at each time, `|s - s_last| / |s_last|`
/// of it and that of the last size. Where these do not grow with time and shrink with the size, the number is
/// super consistent. Not a number where either is none.
///
/// # Shapes    `[size][time]`
/// # Errors
/// No sizes; sizes of different times.
///
/// # Example
/// ```
/// use thalweg_methods::dynamics::relative_gaps;
/// assert_eq!(relative_gaps(&[vec![1.0, 3.0], vec![2.0, 4.0]])?, [[0.5, 0.25]]);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn relative_gaps(values: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
    let Some((last, others)) = values.split_last() else {
        return Err(MethodError::config("sizes", "at least 1", 0));
    };
    let gaps = |of: &Vec<f64>| match of.len() == last.len() {
        true => Ok(of.iter().zip(last).map(|(s, last)| (s - last).abs() / last.abs()).collect()),
        false => {
            let expected = format!("{} times, as the last", last.len());
            Err(MethodError::mismatch("numbers of a size", expected, of.len()))
        }
    };
    others.iter().map(gaps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Function;
    use thalweg_array::DType;
    use thalweg_exec::Executor;

    /// Half of `a x^2 + b y^2 + x^4`.
    fn bowl(a: f64, b: f64) -> Function {
        Function::new(DType::F64, &[("x", &[]), ("y", &[])], move |_, w| {
            let (x, y) = (w[0].square(), w[1].square());
            (x * a + y * b + x.square()) * 0.5
        })
    }

    #[test]
    fn curvature_is_scaled_and_what_diverged_is_left_out() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let (small, large) = (bowl(3.0, 1.0), bowl(1.5, 0.5));
        let times = [[0.0, 0.0], [1.0, 2.0], [f64::INFINITY, 0.0], [1e160, 0.0]];
        let points: Vec<_> = times.iter().map(|at| small.point(at).unwrap()).collect();
        let run = |objective, factor| SizedRun { objective, points: &points, factor };
        let config = SharpnessConfig { top: 2, products: 10, probes: 2 };
        let runs = [run(&small as &dyn Objective, 1.0), run(&large, 2.0)];
        let found = sharpness_by_scale(&ctx, &runs, &config).unwrap();
        let seen = |size: usize, time: usize| {
            let at = found[size][time].as_ref().unwrap();
            [at.top[0], at.top[1], at.trace.unwrap().value]
        };
        let close = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(close(seen(0, 0), [3.0, 1.0, 4.0]) && close(seen(1, 0), [3.0, 1.0, 4.0]));
        // The fourth power adds 6 x^2.
        assert!(close(seen(0, 1), [9.0, 1.0, 10.0]) && close(seen(1, 1), [15.0, 1.0, 16.0]));
        assert_eq!(found[0][1].as_ref().unwrap().loss, 4.0);
        assert_eq!([&found[0][2], &found[0][3]], [&None, &None]);
        let none = SharpnessConfig { probes: 0, ..config };
        let found = sharpness_by_scale(&ctx, &runs[..1], &none).unwrap();
        assert_eq!(found[0][0].as_ref().unwrap().trace, None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let bowl = bowl(1.0, 1.0);
        let points = [bowl.point(&[0.0, 0.0]).unwrap()];
        let refused = |factor: f64, config: &SharpnessConfig| {
            let run = SizedRun { objective: &bowl, points: &points, factor };
            sharpness_by_scale(&ctx, &[run], config).is_err()
        };
        let config = SharpnessConfig::default();
        assert!(!refused(1.0, &config));
        assert!(refused(0.0, &config) && refused(f64::NAN, &config));
        assert!(refused(1.0, &SharpnessConfig { top: 0, ..config }));
        assert!(refused(1.0, &SharpnessConfig { probes: 1, ..config }));
        assert!(relative_gaps(&[]).is_err());
        assert!(relative_gaps(&[vec![1.0], vec![1.0, 2.0]]).is_err());
    }
}
