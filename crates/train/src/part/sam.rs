//! Sharpness-aware minimisation.

use super::{Evaluated, GradientRule, HyperParameter, Objective, StepContext, global_norm};
use thalweg_graph::Tensor;

/// What an ascent's length is measured in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AscentScale {
    /// The weights' own units.
    #[default]
    Plain,
    /// Each weight in units of its own size: what does not see a rescaling of weights that leaves
    /// the function as it is. A weight of zero stays where it is.
    ///
    /// # Source    Kwon, Kim, Park, Choi, ASAM: adaptive sharpness-aware minimization, 2021, arXiv
    /// 2102.11600, equation 8 with `T = |w|`
    Adaptive,
}

impl AscentScale {
    /// Every choice with its name.
    pub const NAMES: [(&'static str, AscentScale); 2] =
        [("plain", AscentScale::Plain), ("adaptive", AscentScale::Adaptive)];
}

/// What has the length of an ascent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AscentNorm {
    /// All parameters together.
    #[default]
    Whole,
    /// Each parameter by itself, so that the whole ascent is `sqrt(parameters)` times as long.
    Parameter,
}

impl AscentNorm {
    /// Every choice with its name.
    pub const NAMES: [(&'static str, AscentNorm); 2] =
        [("whole", AscentNorm::Whole), ("parameter", AscentNorm::Parameter)];
}

/// What may differ about SAM's ascent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AscentKind {
    /// What its length is measured in.
    pub scale: AscentScale,
    /// What has that length.
    pub norm: AscentNorm,
    /// Examples that ascend together: the batch is cut into shards of so many, each with an ascent
    /// of its own, and the gradients at their ends are averaged. None: the whole batch. Smaller
    /// shards are the paper's m-sharpness, section 4.1.
    pub shard: Option<usize>,
}

/// The gradient at `w + e`, where `e` leads uphill from `w` on the same batch with the same draws.
///
/// `e = rho s^2 g / |s g|`, with `g` the gradient at `w` and `s = 1`, or `s = |w|` where the ascent
/// is adaptive: the maximiser of `g^T e` over `|e / s| <= rho`, equation 2. Loss, outputs and
/// buffers are those at `w`. The ascent is not differentiated, as in the paper's equation 3; where
/// `s g` is zero there is none. `rho = 0` is the plain gradient. A step costs two gradients.
///
/// # Deviations    nothing is added to the norm; weight decay comes after the ascent, where the
/// authors' code has it in both losses
/// # Source    Foret, Kleiner, Mobahi, Neyshabur, Sharpness-aware minimization, 2021, arXiv
/// 2010.01412, algorithm 1
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sam {
    /// The usual value of `rho`, in the units of the scale.
    pub rho: f64,
    /// What may differ.
    pub kind: AscentKind,
}

impl Sam {
    /// The ascended parameters, and the ascent itself is what they differ by.
    fn ascended<'b>(&self, step: &StepContext<'_, 'b>, gradient: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        let rho = step.hyper("rho");
        let scales: Vec<Option<Tensor<'b>>> = match self.kind.scale {
            AscentScale::Plain => vec![None; gradient.len()],
            AscentScale::Adaptive => step.parameters.iter().map(|w| Some(w.abs())).collect(),
        };
        let times = |(&x, scale): (&Tensor<'b>, &Option<Tensor<'b>>)| match scale {
            None => x,
            Some(scale) => *scale * x,
        };
        let scaled: Vec<Tensor<'b>> = gradient.iter().zip(&scales).map(times).collect();
        let length = |parts: &[Tensor<'b>]| {
            let norm = global_norm(step.builder, parts);
            let zero = norm.equal(0.0);
            zero.select(norm, rho / zero.select(1.0, norm))
        };
        let factors = match self.kind.norm {
            AscentNorm::Whole => vec![length(&scaled); scaled.len()],
            AscentNorm::Parameter => {
                scaled.iter().map(|part| length(std::slice::from_ref(part))).collect()
            }
        };
        let uphill = scaled.iter().zip(&scales).map(times).zip(factors);
        step.parameters.iter().zip(uphill).map(|(&w, (u, factor))| w + factor * u).collect()
    }
}

impl GradientRule for Sam {
    fn hyper_parameters(&self) -> Vec<HyperParameter> {
        vec![HyperParameter { name: "rho", default: self.rho }]
    }

    fn shard(&self) -> Option<usize> {
        self.kind.shard
    }

    fn evaluate<'b>(
        &self,
        step: &StepContext<'_, 'b>,
        objective: &Objective<'_, 'b>,
    ) -> Evaluated<'b> {
        let here = objective(step.parameters);
        let ascended = self.ascended(step, &here.gradient);
        Evaluated { gradient: objective(&ascended).gradient, ..here }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::HyperValues;
    use thalweg_array::{Array, DType};
    use thalweg_exec::Executor;
    use thalweg_graph::{Builder, TensorType};
    use thalweg_transform::gradient;

    /// Traces a scalar function of one weight vector.
    type Loss = dyn for<'b> Fn(&'b Builder, Tensor<'b>) -> Tensor<'b>;

    /// SAM's gradient of a function at a point.
    fn uphill(sam: Sam, at: &[f64], loss: &Loss) -> Vec<f64> {
        let b = Builder::new(DType::F64);
        let w = b.input("w", TensorType::new(DType::F64, [at.len()]));
        let hyper = HyperValues::new(vec![("rho".into(), b.scalar(sam.rho))]);
        let step = StepContext {
            builder: &b,
            descriptions: &[],
            parameters: &[w],
            hyper: &hyper,
            factor: b.scalar(1.0),
            count: b.scalar(1.0),
        };
        let objective = |parameters: &[Tensor<'_>]| {
            // The lifetime is that of the builder.
            let loss = loss(&b, b.tensor(parameters[0].value()));
            let gradient = gradient(loss, &[b.tensor(parameters[0].value())]);
            Evaluated { loss, gradient, new_buffers: Vec::new(), output: loss }
        };
        let found = sam.evaluate(&step, &objective);
        let graph = b.finish(&[("gradient", found.gradient[0])]).unwrap();
        let program = Executor::new(1).compile(&graph).unwrap();
        program.run(vec![Array::vector(at)]).unwrap()[0].to_f64_vec()
    }

    fn plain(rho: f64) -> Sam {
        Sam { rho, kind: AscentKind::default() }
    }

    fn parabola<'b>(b: &'b Builder, w: Tensor<'b>) -> Tensor<'b> {
        (w.square() * b.constant(Array::vector(&[3.0, 1.0, -0.5]))).sum_all() * 0.5
    }

    fn norm(x: &[f64]) -> f64 {
        x.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    #[test]
    fn the_gradient_of_a_parabola_is_known() {
        let (h, w, rho) = ([3.0, 1.0, -0.5], [0.2, -1.0, 2.0], 0.3);
        let g: Vec<f64> = h.iter().zip(w).map(|(h, w)| h * w).collect();
        let found = uphill(plain(rho), &w, &parabola);
        for i in 0..3 {
            let expected = g[i] + rho * h[i] * g[i] / norm(&g);
            assert!((found[i] - expected).abs() < 1e-14, "{i}: {} {expected}", found[i]);
        }
    }

    #[test]
    fn an_ascent_is_as_long_as_said() {
        // Of |w|^2 / 2 the gradient is the point itself.
        let square: &Loss = &|_, w| w.square().sum_all() * 0.5;
        let w = [0.3, -2.0, 0.7];
        let moved = |kind: AscentKind| -> Vec<f64> {
            let found = uphill(Sam { rho: 0.05, kind }, &w, square);
            found.iter().zip(w).map(|(to, from)| to - from).collect()
        };
        assert!((norm(&moved(AscentKind::default())) - 0.05).abs() < 1e-14);
        let adaptive = AscentKind { scale: AscentScale::Adaptive, ..AscentKind::default() };
        let scaled: Vec<f64> = moved(adaptive).iter().zip(w).map(|(e, w)| e / w.abs()).collect();
        assert!((norm(&scaled) - 0.05).abs() < 1e-14);
        assert!((norm(&moved(adaptive)) - 0.05).abs() > 1e-3);
    }

    #[test]
    fn of_a_linear_function_it_is_the_gradient() {
        let line: &Loss = &|b, w| (w * b.constant(Array::vector(&[0.7, -1.3]))).sum_all();
        assert_eq!(uphill(plain(0.5), &[1.0, 2.0], line), [0.7, -1.3]);
        // Where there is no uphill nothing is divided by zero.
        assert_eq!(uphill(plain(0.5), &[0.0, 0.0, 0.0], &parabola), [0.0, 0.0, 0.0]);
    }
}
