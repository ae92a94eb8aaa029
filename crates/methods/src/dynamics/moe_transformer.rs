//! A small transformer whose perceptrons are mixtures of experts.

use crate::MethodError;
use std::sync::Arc;
use thalweg_graph::Tensor;
use thalweg_nn::layer::{
    Activation, Dense, Embedding, LayerNorm, MixtureOfExperts, Normalization, SelfAttention,
};
use thalweg_nn::{Initializer, Layer, Model, ModelPort, Network, PortType, Scope};

/// A transformer with a mixture of experts in the place of each perceptron; normalisation comes first.
///
/// Its outputs are the logits; `penalty`, which training adds to the loss: the mean over the layers of the
/// mixtures' balances, times `balance`; and `routing`, the routers' probabilities of each layer, averaged
/// over the positions of an example; and `features`, what the logits are made of, averaged over the
/// positions that are read.
///
/// # Shapes    `i32 [batch, context]` -> logits `[batch, context, outputs]`, or with `last` those of the last
/// position alone, `[batch, outputs]`; penalty `[batch]`; routing `[batch, depth, experts]`; features
/// `[batch, width]`
#[derive(Clone, Debug, PartialEq)]
pub struct MoeTransformer {
    /// Positions of an example.
    pub context: usize,
    /// Tokens that it knows.
    pub vocabulary: usize,
    /// Classes that it tells.
    pub outputs: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Units of the residual stream.
    pub width: usize,
    /// Attention heads; they divide the width.
    pub heads: usize,
    /// Experts of a block.
    pub experts: usize,
    /// Experts that a position is sent to.
    pub chosen: usize,
    /// Hidden units of an expert.
    pub hidden: usize,
    /// Factor of the balance in the penalty.
    pub balance: f64,
    /// Whether it reads the last position alone, and each position sees all; else each position sees those
    /// before it and is read.
    pub last: bool,
}

impl MoeTransformer {
    /// The model; `routers` names the parameters of its routers.
    ///
    /// # Errors
    /// Sizes that are none, or that do not fit each other.
    pub fn model(&self) -> Result<Model, MethodError> {
        for (what, n) in [
            ("context", self.context),
            ("vocabulary", self.vocabulary),
            ("outputs", self.outputs),
            ("depth", self.depth),
            ("width", self.width),
            ("hidden units", self.hidden),
        ] {
            if n == 0 {
                return Err(MethodError::config(what, "at least 1", 0));
            }
        }
        let tokens =
            ModelPort { name: "tokens".into(), shape: vec![self.context], ty: PortType::Index };
        let network = Arc::new(self.clone());
        Ok(Model::new(network, vec![tokens], &["output", "penalty", "routing", "features"])?)
    }

    /// The names of the routers' weights, block after block.
    pub fn routers(&self) -> Vec<String> {
        (0..self.depth).map(|i| format!("blocks.{i}.moe.router.weight")).collect()
    }
}

const SPREAD: f64 = 0.02;

impl Network for MoeTransformer {
    fn trace<'b>(&self, scope: &Scope<'_, 'b>, inputs: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        let [tokens] = *inputs else {
            let got = inputs.len().to_string();
            scope.builder().reject("moe_transformer", "one input", got);
            return Vec::new();
        };
        let width = self.width;
        let initializer = Initializer::Normal { standard_deviation: SPREAD };
        let embedding = |entries| Embedding { initializer, ..Embedding::new(entries, width) };
        let dense = |outputs, initializer| Dense {
            initializer,
            bias_initializer: Some(Initializer::Constant(0.0)),
            ..Dense::new(outputs)
        };
        let even = Initializer::XavierUniform { gain: 1.0 };
        let table = embedding(self.vocabulary).table(&scope.enter("tokens"));
        let places = embedding(self.context).table(&scope.enter("positions"));
        let mut x = table.take(tokens) + places;
        let batch = tokens.shape().first().copied().unwrap_or(1);
        let mut penalty = scope.builder().scalar(0.0).broadcast_in(&[batch], &[]);
        let mut routings = Vec::new();
        for i in 0..self.depth {
            let block = scope.enter("blocks").enter(&i.to_string());
            let attention = SelfAttention {
                heads: self.heads,
                causal: !self.last,
                dropout: 0.0,
                projections: [
                    ("qkv", dense(width.saturating_mul(3), even)),
                    ("proj", dense(width, even)),
                ],
                norm: Normalization::None,
            };
            let norm = |name: &str, x| LayerNorm::default().forward(&block.enter(name), x);
            x = x + attention.forward(&block.enter("attn"), norm("norm1", x));
            let mixture = MixtureOfExperts {
                experts: self.experts,
                chosen: self.chosen,
                hidden: self.hidden,
                activation: Activation::Gelu,
                initializer: Initializer::Uniform { bound: 1.0 / (width as f64).sqrt() },
                router_initializer: Initializer::Normal { standard_deviation: SPREAD },
            };
            let (inner, normalized) = (block.enter("moe"), norm("norm2", x));
            let routed = mixture.route(&inner, normalized);
            // Where one position is read, the last experts work for that one alone.
            let read = |x: Tensor<'b>| match self.last && i + 1 == self.depth {
                true => x.index(1, self.context - 1),
                false => x,
            };
            x = read(x) + mixture.combine(&inner, read(normalized), read(routed.gates));
            penalty = penalty + routed.balance;
            routings.push(routed.routing.mean(&[1]));
        }
        let x = LayerNorm::default().forward(&scope.enter("norm"), x);
        let logits = dense(self.outputs, even).forward(&scope.enter("head"), x);
        let features = if self.last { x } else { x.mean(&[1]) };
        let penalty = penalty * (self.balance / self.depth.max(1) as f64);
        let routing = scope.builder().stack(&routings).move_axis(0, 1);
        vec![logits, penalty, routing, features]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;
    use thalweg_array::{Array, DType};
    use thalweg_exec::Executor;
    use thalweg_nn::Weights;
    use thalweg_train::{
        Examples, Length, Member, Optimizer, Resources, Schedule, TrainConfig, Trainer, Unobserved,
        initialize,
    };

    fn small() -> MoeTransformer {
        MoeTransformer {
            context: 3,
            vocabulary: 6,
            outputs: 5,
            depth: 2,
            width: 8,
            heads: 2,
            experts: 4,
            chosen: 2,
            hidden: 6,
            balance: 0.01,
            last: true,
        }
    }

    fn outputs(of: &MoeTransformer, weights: &Weights) -> Vec<Array> {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let model = of.model().unwrap();
        let graph = model.evaluation_graph(DType::F64, 4).unwrap();
        let program = ctx.executor().compile(&graph).unwrap();
        let tokens: Vec<i32> = (0..12).map(|i| i * i % 6).collect();
        let tokens = Array::from_slice(&[4, 3], &tokens).unwrap();
        program.run(weights.parameters.arrays().iter().cloned().chain([tokens]).collect()).unwrap()
    }

    fn with(weights: &Weights, change: impl Fn(&str, &Array) -> Array) -> Weights {
        let arrays = weights.parameters.iter().map(|(name, array)| change(name, array));
        let parameters = weights.parameters.with_arrays(arrays.collect()).unwrap();
        Weights { parameters, buffers: weights.buffers.clone() }
    }

    #[test]
    fn an_even_router_mixes_evenly_and_has_balance_one() {
        let of = small();
        let weights = initialize(&of.model().unwrap(), 1, DType::F64).unwrap();
        let routers = of.routers();
        let even = with(&weights, |name, array| match routers.iter().any(|known| known == name) {
            true => Array::zeros(DType::F64, array.shape()),
            false => array.clone(),
        });
        let found = outputs(&of, &even);
        assert_eq!(found[0].shape(), [4, 5]);
        assert_eq!(found[2].shape(), [4, 2, 4]);
        assert!(found[2].to_f64_vec().iter().all(|p| (p - 0.25).abs() < 1e-12));
        assert!(found[1].to_f64_vec().iter().all(|b| (b - 0.01).abs() < 1e-12));
        // Two of the four experts are never chosen: what they are does not matter.
        let other = with(&even, |name, array| match name.contains("experts.") {
            true => {
                let mut values = array.to_f64_vec();
                let half = values.len() / 2;
                values[half..].iter_mut().for_each(|w| *w += 1.0);
                Array::from_slice(array.shape(), &values).unwrap()
            }
            false => array.clone(),
        });
        assert_eq!(outputs(&of, &other)[0], found[0]);
        // With all of them chosen it does.
        let all = MoeTransformer { chosen: 4, ..of };
        assert_ne!(outputs(&all, &other)[0], outputs(&all, &even)[0]);
    }

    #[test]
    fn equal_experts_are_one_perceptron_whatever_the_router() {
        let of = small();
        let weights = initialize(&of.model().unwrap(), 2, DType::F64).unwrap();
        let equal = with(&weights, |name, array| match name.contains("experts.") {
            true => {
                let one = array.row(0).unwrap();
                Array::stack(&vec![one; 4]).unwrap()
            }
            false => array.clone(),
        });
        let one = MoeTransformer { chosen: 1, ..of.clone() };
        let (few, many) = (outputs(&one, &equal), outputs(&of, &equal));
        let pairs = few[0].to_f64_vec().into_iter().zip(many[0].to_f64_vec());
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-12));
        assert_ne!(outputs(&one, &weights)[0], outputs(&of, &weights)[0]);
        let sums = few[2].to_f64_vec();
        assert!(sums.chunks(4).all(|p| (p.iter().sum::<f64>() - 1.0).abs() < 1e-12));
    }

    /// `y = x w + b`.
    fn head(weights: &Weights, x: &Array) -> Vec<f64> {
        let of = |name: &str| weights.parameters.get(name).unwrap().to_f64_vec();
        let (w, b) = (of("head.weight"), of("head.bias"));
        let row = |x: &[f64]| -> Vec<f64> {
            let unit =
                |j: usize| b[j] + x.iter().enumerate().map(|(i, x)| x * w[i * 5 + j]).sum::<f64>();
            (0..5).map(unit).collect()
        };
        x.to_f64_vec().chunks(8).flat_map(row).collect()
    }

    #[test]
    fn one_position_that_is_read_is_the_last_of_all() {
        let one = MoeTransformer { depth: 1, ..small() };
        let all = MoeTransformer { last: false, ..one.clone() };
        let weights = initialize(&one.model().unwrap(), 4, DType::F64).unwrap();
        let (one, all) = (outputs(&one, &weights), outputs(&all, &weights));
        assert_eq!((one[0].shape(), all[0].shape()), (&[4, 5][..], &[4, 3, 5][..]));
        assert_eq!((one[3].shape(), all[3].shape()), (&[4, 8][..], &[4, 8][..]));
        let near = |a: &[f64], b: &[f64]| {
            assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12));
        };
        let (alone, among) = (one[0].to_f64_vec(), all[0].to_f64_vec());
        let (mut last, mut mean): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
        for example in among.chunks(15) {
            last.extend(&example[10..]);
            mean.extend((0..5).map(|j| (example[j] + example[5 + j] + example[10 + j]) / 3.0));
        }
        near(&alone, &last);
        // Logits are made of the features, and so are their means.
        near(&head(&weights, &one[3]), &alone);
        near(&head(&weights, &all[3]), &mean);
    }

    #[test]
    fn a_penalty_is_trained_on() {
        let last = |balance: f64| {
            let of = MoeTransformer { balance, ..small() };
            let model = of.model().unwrap();
            let weights = initialize(&model, 3, DType::F64).unwrap();
            // A router that is sure of itself.
            let sure = with(&weights, |name, array| match name.contains("router") {
                true => {
                    let values: Vec<f64> = array.to_f64_vec().iter().map(|w| w * 50.0).collect();
                    Array::from_slice(array.shape(), &values).unwrap()
                }
                false => array.clone(),
            });
            let tokens: Vec<i32> = (0..12).map(|i| i * i % 6).collect();
            let tokens = Array::from_slice(&[4, 3], &tokens).unwrap();
            let labels = Array::vector(&[0, 1, 2, 3]);
            let examples = Examples::from_arrays(tokens, labels, true, DType::F64).unwrap();
            let config = TrainConfig {
                optimizer: Optimizer::sgd(),
                schedule: Schedule::default(),
                batch: 4,
                length: Length::Steps(40),
                precision: DType::F64,
                ..TrainConfig::default()
            };
            let executor = Arc::new(Executor::new(1));
            let resources = Resources::default();
            let trainer = Trainer::new(executor, model, examples, config, resources).unwrap();
            let members = [Member::new(0, 0.05)];
            let mut state = trainer.start_from(&members, &[sure]).unwrap();
            trainer.run(&mut state, &mut Unobserved).unwrap();
            let ended = state.weights(0).unwrap();
            // Read at one factor, so that the two can be compared.
            let read = outputs(&MoeTransformer { balance: 1.0, ..small() }, &ended)[1].to_f64_vec();
            read.iter().sum::<f64>() / read.len() as f64
        };
        let (with, without) = (last(2.0), last(0.0));
        assert!(with < without - 1e-3, "{with} {without}");
    }

    #[test]
    fn sizes_are_checked() {
        assert!(MoeTransformer { chosen: 5, ..small() }.model().is_err());
        assert!(MoeTransformer { chosen: 0, ..small() }.model().is_err());
        assert!(MoeTransformer { depth: 0, ..small() }.model().is_err());
        assert!(MoeTransformer { heads: 3, ..small() }.model().is_err());
        let names: Vec<String> =
            small().model().unwrap().parameters().iter().map(|p| p.name.clone()).collect();
        assert!(small().routers().iter().all(|router| names.contains(router)));
    }
}
