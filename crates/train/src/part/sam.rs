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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AscentKind {
    /// What its length is measured in.
    pub scale: AscentScale,
    /// What has that length.
    pub norm: AscentNorm,
    /// The order of the norm that says how long it is: above one, and infinite for the largest
    /// element.
    pub p: f64,
    /// Examples that ascend together: the batch is cut into shards of so many, each with an ascent
    /// of its own, and the gradients at their ends are averaged. None: the whole batch. Smaller
    /// shards are the paper's m-sharpness, section 4.1.
    pub shard: Option<usize>,
}

impl Default for AscentKind {
    fn default() -> AscentKind {
        AscentKind {
            scale: AscentScale::default(),
            norm: AscentNorm::default(),
            p: 2.0,
            shard: None,
        }
    }
}

/// The gradient at `w + e`, where `e` leads uphill from `w` on the same batch with the same draws.
///
/// `e = rho s sign(s g) |s g|^(q-1) / (|s g|_q^q)^(1/p)` with `1/p + 1/q = 1`, `g` the gradient at
/// `w` and `s = 1`, or `s = |w|` where the ascent is adaptive: the maximiser of `g^T e` over
/// `|e / s|_p <= rho`, equation 2. With `p = 2` it is `rho s^2 g / |s g|`, with `p = inf`
/// `rho s sign(g)`. Loss, outputs and buffers are those at `w`; the loss at `w + e` is told beside
/// them. The ascent is not differentiated, as in the paper's equation 3; where `s g` is zero there is
/// none. `rho = 0` is the plain gradient. A step costs two gradients.
///
/// # Deviations    nothing is added to the norm; weight decay comes after the ascent, where the
/// authors' code has it in both losses
/// # Source    Foret, Kleiner, Mobahi, Neyshabur, Sharpness-aware minimization, 2021, arXiv
/// 2010.01412, algorithm 1
#[derive(Clone, Debug, PartialEq)]
pub struct Sam {
    /// The usual value of `rho`, in the units of the scale.
    pub rho: f64,
    /// Numbers of steps, rising, each with what `rho` is multiplied by after so many steps, until
    /// the next: a radius that is larger late in training, or earlier.
    pub rises: Vec<(u64, f64)>,
    /// What may differ.
    pub kind: AscentKind,
}

impl Sam {
    /// The radius of a step.
    fn radius<'b>(&self, step: &StepContext<'_, 'b>) -> Tensor<'b> {
        let rho = step.hyper("rho");
        if self.rises.is_empty() {
            return rho;
        }
        let times = |times, &(after, factor): &(u64, f64)| {
            step.count.greater(after as f64).select(factor, times)
        };
        rho * self.rises.iter().fold(step.builder.scalar(1.0), times)
    }

    /// What maximises `x^T u` over `|u|_p <= rho`, as directions and the factor of them all; `x` is
    /// `parts` together.
    fn steepest<'b>(
        &self,
        step: &StepContext<'_, 'b>,
        parts: &[Tensor<'b>],
        rho: Tensor<'b>,
    ) -> (Vec<Tensor<'b>>, Tensor<'b>) {
        let builder = step.builder;
        let p = self.kind.p;
        if p == 2.0 {
            let norm = global_norm(builder, parts);
            let zero = norm.equal(0.0);
            return (parts.to_vec(), zero.select(norm, rho / zero.select(1.0, norm)));
        }
        let signs = parts.iter().map(|part| part.sign());
        if p.is_infinite() {
            return (signs.collect(), rho);
        }
        // In shares of the largest element no power of a small one is lost.
        let q = p / (p - 1.0);
        let largest = |part: &Tensor<'b>| {
            let n = part.shape().iter().product();
            part.abs().reshape(&[n]).max(&[0])
        };
        let most = parts.iter().map(largest).reduce(|a, b| a.maximum(b));
        let most = most.unwrap_or_else(|| builder.scalar(0.0));
        let zero = most.equal(0.0);
        let unit = zero.select(1.0, most);
        let shares: Vec<Tensor<'b>> = parts.iter().map(|part| part.abs() / unit).collect();
        let sum = shares.iter().map(|share| share.power(q).sum_all()).reduce(|a, b| a + b);
        let sum = sum.unwrap_or(unit);
        let factor = rho / zero.select(1.0, sum).power(1.0 / p);
        (signs.zip(&shares).map(|(sign, share)| sign * share.power(q - 1.0)).collect(), factor)
    }

    /// The ascended parameters, and the ascent itself is what they differ by.
    fn ascended<'b>(&self, step: &StepContext<'_, 'b>, gradient: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        let rho = self.radius(step);
        let scales: Vec<Option<Tensor<'b>>> = match self.kind.scale {
            AscentScale::Plain => vec![None; gradient.len()],
            AscentScale::Adaptive => step.parameters.iter().map(|w| Some(w.abs())).collect(),
        };
        let times = |(&x, scale): (&Tensor<'b>, &Option<Tensor<'b>>)| match scale {
            None => x,
            Some(scale) => *scale * x,
        };
        let scaled: Vec<Tensor<'b>> = gradient.iter().zip(&scales).map(times).collect();
        let (directions, factors) = match self.kind.norm {
            AscentNorm::Whole => {
                let (directions, factor) = self.steepest(step, &scaled, rho);
                let factors = vec![factor; scaled.len()];
                (directions, factors)
            }
            AscentNorm::Parameter => {
                let each = scaled.iter().map(|part| {
                    let (direction, factor) = self.steepest(step, std::slice::from_ref(part), rho);
                    (direction[0], factor)
                });
                each.unzip()
            }
        };
        let uphill = directions.iter().zip(&scales).map(times).zip(factors);
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
        let there = objective(&ascended);
        Evaluated { gradient: there.gradient, perturbed_loss: Some(there.loss), ..here }
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

    /// SAM's gradient of a function at a point in step `count`, its loss there and after the ascent.
    fn step(sam: Sam, at: &[f64], count: f64, loss: &Loss) -> (Vec<f64>, f64, f64) {
        let b = Builder::new(DType::F64);
        let w = b.input("w", TensorType::new(DType::F64, [at.len()]));
        let hyper = HyperValues::new(vec![("rho".into(), b.scalar(sam.rho))]);
        let step = StepContext {
            builder: &b,
            descriptions: &[],
            parameters: &[w],
            hyper: &hyper,
            factor: b.scalar(1.0),
            count: b.scalar(count),
        };
        let objective = |parameters: &[Tensor<'_>]| {
            // The lifetime is that of the builder.
            let loss = loss(&b, b.tensor(parameters[0].value()));
            let gradient = gradient(loss, &[b.tensor(parameters[0].value())]);
            let (new_buffers, perturbed_loss) = (Vec::new(), None);
            Evaluated { loss, gradient, new_buffers, output: loss, perturbed_loss }
        };
        let found = sam.evaluate(&step, &objective);
        let outputs = [
            ("gradient", found.gradient[0]),
            ("loss", found.loss),
            ("perturbed", found.perturbed_loss.unwrap()),
        ];
        let graph = b.finish(&outputs).unwrap();
        let program = Executor::new(1).compile(&graph).unwrap();
        let found = program.run(vec![Array::vector(at)]).unwrap();
        let scalar = |i: usize| found[i].item().unwrap();
        (found[0].to_f64_vec(), scalar(1), scalar(2))
    }

    fn uphill(sam: Sam, at: &[f64], loss: &Loss) -> Vec<f64> {
        step(sam, at, 1.0, loss).0
    }

    fn sam(rho: f64, kind: AscentKind) -> Sam {
        Sam { rho, rises: Vec::new(), kind }
    }

    fn plain(rho: f64) -> Sam {
        sam(rho, AscentKind::default())
    }

    fn parabola<'b>(b: &'b Builder, w: Tensor<'b>) -> Tensor<'b> {
        (w.square() * b.constant(Array::vector(&[3.0, 1.0, -0.5]))).sum_all() * 0.5
    }

    /// Of this function the gradient is the point itself.
    fn square<'b>(_: &'b Builder, w: Tensor<'b>) -> Tensor<'b> {
        w.square().sum_all() * 0.5
    }

    fn norm(x: &[f64]) -> f64 {
        p_norm(x, 2.0)
    }

    fn p_norm(x: &[f64], p: f64) -> f64 {
        match p.is_infinite() {
            true => x.iter().fold(0.0, |most, x| x.abs().max(most)),
            false => x.iter().map(|x| x.abs().powf(p)).sum::<f64>().powf(1.0 / p),
        }
    }

    #[test]
    fn the_gradient_of_a_parabola_is_known() {
        let (h, w, rho) = ([3.0, 1.0, -0.5], [0.2, -1.0, 2.0], 0.3);
        let g: Vec<f64> = h.iter().zip(w).map(|(h, w)| h * w).collect();
        let (found, loss, perturbed) = step(plain(rho), &w, 1.0, &parabola);
        let value = |w: &[f64]| h.iter().zip(w).map(|(h, w)| 0.5 * h * w * w).sum::<f64>();
        let ascended: Vec<f64> = (0..3).map(|i| w[i] + rho * g[i] / norm(&g)).collect();
        for i in 0..3 {
            let expected = h[i] * ascended[i];
            assert!((found[i] - expected).abs() < 1e-14, "{i}: {} {expected}", found[i]);
        }
        assert!((loss - value(&w)).abs() < 1e-14, "{loss}");
        assert!((perturbed - value(&ascended)).abs() < 1e-14, "{perturbed}");
        assert!(perturbed > loss + 0.1, "{perturbed} {loss}");
    }

    #[test]
    fn an_ascent_is_as_long_as_said() {
        let w = [0.3, -2.0, 0.7];
        let moved = |kind: AscentKind| -> Vec<f64> {
            let found = uphill(sam(0.05, kind), &w, &square);
            found.iter().zip(w).map(|(to, from)| to - from).collect()
        };
        assert!((norm(&moved(AscentKind::default())) - 0.05).abs() < 1e-14);
        let adaptive = AscentKind { scale: AscentScale::Adaptive, ..AscentKind::default() };
        let in_sizes = |kind: AscentKind| -> Vec<f64> {
            moved(kind).iter().zip(w).map(|(e, w)| e / w.abs()).collect()
        };
        assert!((norm(&in_sizes(adaptive)) - 0.05).abs() < 1e-14);
        assert!((norm(&moved(adaptive)) - 0.05).abs() > 1e-3);
        for p in [1.1, 1.5, 3.0, f64::INFINITY] {
            let long = p_norm(&moved(AscentKind { p, ..AscentKind::default() }), p);
            assert!((long - 0.05).abs() < 1e-14, "p {p}: {long}");
            let long = p_norm(&in_sizes(AscentKind { p, ..adaptive }), p);
            assert!((long - 0.05).abs() < 1e-14, "p {p}, adaptive: {long}");
        }
    }

    #[test]
    fn no_ascent_of_its_length_leads_further_up() {
        // The gain to first order is the dual norm, which no other point of the ball reaches.
        let w = [0.3, -2.0, 0.7];
        for p in [1.2, 2.0, 4.0, f64::INFINITY] {
            let q = if p.is_infinite() { 1.0 } else { p / (p - 1.0) };
            let kind = AscentKind { p, ..AscentKind::default() };
            let found = uphill(sam(0.05, kind), &w, &square);
            let gain: f64 = found.iter().zip(w).map(|(to, w)| (to - w) * w).sum();
            let dual = 0.05 * p_norm(&w, q);
            assert!((gain - dual).abs() < 1e-14, "p {p}: {gain} {dual}");
        }
        // By hand with p = 3: q - 1 is a half, so that e is along the roots of (1, 4, 9).
        let kind = AscentKind { p: 3.0, ..AscentKind::default() };
        let found = uphill(sam(1.0, kind), &[1.0, -4.0, 9.0], &square);
        let long = 36f64.cbrt();
        for (found, expected) in found.iter().zip([1.0 + 1.0 / long, -4.0 - 2.0 / long]) {
            assert!((found - expected).abs() < 1e-14, "{found} {expected}");
        }
    }

    #[test]
    fn a_radius_rises_after_its_steps() {
        let rising = |count: f64| {
            let rises = vec![(2, 3.0), (5, 0.5)];
            step(Sam { rises, ..plain(0.1) }, &[1.0], count, &square).0[0] - 1.0
        };
        let found: Vec<f64> = (1..=7).map(|count| rising(f64::from(count))).collect();
        for (found, expected) in found.iter().zip([0.1, 0.1, 0.3, 0.3, 0.3, 0.05, 0.05]) {
            assert!((found - expected).abs() < 1e-14, "{found} {expected}");
        }
    }

    #[test]
    fn of_a_linear_function_it_is_the_gradient() {
        let line: &Loss = &|b, w| (w * b.constant(Array::vector(&[0.7, -1.3]))).sum_all();
        for p in [1.5, 2.0, f64::INFINITY] {
            let of = |rho: f64| sam(rho, AscentKind { p, ..AscentKind::default() });
            assert_eq!(uphill(of(0.5), &[1.0, 2.0], line), [0.7, -1.3]);
            // Where there is no uphill nothing is divided by zero.
            assert_eq!(uphill(of(0.5), &[0.0, 0.0, 0.0], &parabola), [0.0, 0.0, 0.0]);
        }
    }
}
