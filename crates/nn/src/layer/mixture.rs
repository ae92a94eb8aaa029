//! A mixture of experts.

use super::{Activation, last_extent};
use crate::initialize::Initializer;
use crate::model::Layer;
use crate::parameter::{Axis, Parameter, Role};
use crate::scope::Scope;
use thalweg_array::DType;
use thalweg_graph::{DotAxes, Tensor};

/// Experts of which each position is sent to a few: `y = sum over chosen k of g_k f_k(x)`.
///
/// The router gives a probability to each expert, `p = softmax(x R)`; the `chosen` largest are taken and
/// their probabilities divided by their sum are the `g_k`. An expert is `f(x) = phi(x U_k) V_k`, without
/// biases.
///
/// Every expert is computed and those that were not chosen are given no weight: shapes stay fixed, and
/// populations of networks go through two products. Of equally probable experts the first is chosen.
///
/// # Shapes    x `[batch, .., units]` -> the same; `router.weight [units, experts]`, `experts.weight_in
/// [experts, units, hidden]`, `experts.weight_out [experts, hidden, units]`
/// # Errors    more experts chosen than there are, or none, are refused
/// # Gradient  any order, through the probabilities of those that were chosen
/// # Source    Shazeer et al., Outrageously large neural networks, 2017, arXiv 1701.06538, without its
/// noise; probabilities before the choice: as in Mixtral and OLMoE
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureOfExperts {
    /// Number of experts.
    pub experts: usize,
    /// How many of them a position is sent to.
    pub chosen: usize,
    /// Hidden units of an expert.
    pub hidden: usize,
    /// Between an expert's two products.
    pub activation: Activation,
    /// How the experts' weights are drawn.
    pub initializer: Initializer,
    /// How the router's weights are drawn.
    pub router_initializer: Initializer,
}

/// What a mixture gives.
#[derive(Clone, Copy, Debug)]
pub struct Mixed<'b> {
    /// The output, of the input's shape.
    pub output: Tensor<'b>,
    /// As [`Routed::routing`].
    pub routing: Tensor<'b>,
    /// As [`Routed::balance`].
    pub balance: Tensor<'b>,
}

/// Where a mixture sends positions.
#[derive(Clone, Copy, Debug)]
pub struct Routed<'b> {
    /// The router's probabilities, before the choice, `[batch, .., experts]`.
    pub routing: Tensor<'b>,
    /// What an expert's output is weighted by, `[batch, .., experts]`: one in sum, and zero for those
    /// that were not chosen.
    pub gates: Tensor<'b>,
    /// The balance of each example, `[batch]`; their mean is `experts sum over k of f_k p_k`, with the
    /// shares `f_k` of the choices in the batch that fall on an expert, which have no derivative, and the
    /// mean probabilities `p_k`: one where both are even, more where the router prefers those that it
    /// prefers already.
    ///
    /// Source: Fedus, Zoph, Shazeer, Switch transformers, 2021, arXiv 2101.03961, equations 4 to 6
    pub balance: Tensor<'b>,
}

impl MixtureOfExperts {
    /// Traces the mixture.
    pub fn mix<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Mixed<'b> {
        let Routed { routing, gates, balance } = self.route(scope, x);
        Mixed { output: self.combine(scope, x, gates), routing, balance }
    }

    /// Where positions are sent: the first half of [`MixtureOfExperts::mix`].
    pub fn route<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Routed<'b> {
        let units = last_extent("mixture_of_experts", x);
        let k = self.experts;
        let axes = [Axis::Input, Axis::Output];
        let router =
            Parameter::new("weight", &[units, k], Role::Weight, &axes, self.router_initializer);
        let router = scope.enter("router").parameter(router);
        let last = x.rank().saturating_sub(1);
        let logits = x.matmul(router);
        let routing = logits.softmax(last);
        let batch = x.shape().first().copied().unwrap_or(1);
        if !self.fits(x) {
            let expected = format!("1 to {k} experts chosen for each of [batch, .., units]");
            let got = format!("{} for {}", self.chosen, x.ty());
            scope.builder().reject("mixture_of_experts", expected, got);
            let balance = scope.builder().scalar(1.0).broadcast_in(&[batch], &[]);
            return Routed { routing, gates: routing, balance };
        }
        let chosen = largest(logits, self.chosen);
        let gates = chosen.select(routing, routing.zeros_like());
        let gates = gates / gates.sum(&[last]).keep(&[last]);
        let float = routing.dtype();
        let all: Vec<usize> = (0..last).collect();
        let within: Vec<usize> = (1..last).collect();
        let share = chosen.convert(float).mean(&all) * (1.0 / self.chosen as f64);
        let own = match within.is_empty() {
            true => routing,
            false => routing.mean(&within),
        };
        let balance = (own * share.stop_gradient()).sum(&[1]) * k as f64;
        Routed { routing, gates, balance }
    }

    /// What the experts make of positions, weighted by the gates of [`MixtureOfExperts::route`]: the
    /// second half of [`MixtureOfExperts::mix`]. Of positions that nobody reads it can be left out.
    pub fn combine<'b>(
        &self,
        scope: &Scope<'_, 'b>,
        x: Tensor<'b>,
        gates: Tensor<'b>,
    ) -> Tensor<'b> {
        let units = last_extent("mixture_of_experts", x);
        let (k, hidden) = (self.experts, self.hidden);
        let inner = scope.enter("experts");
        let weight = |name: &str, shape: &[usize]| {
            let axes = [Axis::Other, Axis::Input, Axis::Output];
            inner.parameter(Parameter::new(name, shape, Role::Weight, &axes, self.initializer))
        };
        let widen = weight("weight_in", &[k, units, hidden]);
        let narrow = weight("weight_out", &[k, hidden, units]);
        if !self.fits(x) {
            return x;
        }
        let last = x.rank() - 1;
        // [.., units] by [experts, units, hidden] -> [.., experts, hidden].
        let axes =
            DotAxes { lhs_contract: vec![last], rhs_contract: vec![1], ..DotAxes::default() };
        let inside = self.activation.of(x.dot(widen, axes)) * gates.expand(last + 1);
        let axes = DotAxes {
            lhs_contract: vec![last, last + 1],
            rhs_contract: vec![0, 1],
            ..DotAxes::default()
        };
        inside.dot(narrow, axes)
    }

    fn fits(&self, x: Tensor<'_>) -> bool {
        (1..=self.experts).contains(&self.chosen) && x.rank() >= 2
    }
}

impl Layer for MixtureOfExperts {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        self.mix(scope, x).output
    }
}

/// Where the `n` largest elements along the last axis are, ties to the first.
fn largest(x: Tensor<'_>, n: usize) -> Tensor<'_> {
    let last = x.rank() - 1;
    let count = x.shape()[last];
    let x = x.stop_gradient();
    let mut found = x.arg_max(last).one_hot(count, DType::Bool);
    let mut rest = x;
    let never = x.builder().full(&x.ty(), f64::NEG_INFINITY);
    for _ in 1..n {
        rest = found.select(never, rest);
        found = found.or(rest.arg_max(last).one_hot(count, DType::Bool));
    }
    found
}
