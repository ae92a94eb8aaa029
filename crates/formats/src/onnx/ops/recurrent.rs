//! Recurrent layers, as a loop over time.

use super::activation::{exponential, hard_sigmoid_of};
use crate::onnx::call::{Call, Outcome};
use crate::onnx::value::{Laid, Value};
use thalweg_array::DType;
use thalweg_graph::{DotAxes, Tensor, TensorType};
use thalweg_nn::layer::Activation;

/// An activation with its numbers.
#[derive(Clone, Copy)]
enum Function {
    Plain(Activation),
    Affine(f64, f64),
    ThresholdedRelu(f64),
    ScaledTanh(f64, f64),
    HardSigmoid(f64, f64),
    Elu(f64),
    Softsign,
}

impl Function {
    fn of<'b>(self, x: Tensor<'b>) -> Tensor<'b> {
        match self {
            Function::Plain(activation) => activation.of(x),
            Function::Affine(alpha, beta) => x * alpha + beta,
            Function::ThresholdedRelu(alpha) => x.greater(alpha).select(x, x.zeros_like()),
            Function::ScaledTanh(alpha, beta) => (x * beta).tanh() * alpha,
            Function::HardSigmoid(alpha, beta) => hard_sigmoid_of(x, alpha, beta),
            Function::Elu(alpha) => exponential(x, alpha, 1.0),
            Function::Softsign => x / (x.abs() + 1.0),
        }
    }
}

/// The activations of every direction, in order.
fn functions(
    call: &Call<'_, '_, '_>,
    default: &[&str],
    directions: usize,
) -> Result<Vec<Function>, String> {
    let names: Vec<String> = match call.texts("activations")? {
        Some(names) => names.to_vec(),
        None => {
            default.iter().cycle().take(default.len() * directions).map(|&n| n.into()).collect()
        }
    };
    if names.len() != default.len() * directions {
        return Err(format!("attribute `activations` is {names:?}"));
    }
    let mut alphas = call.floats_of("activation_alpha")?.unwrap_or_default().into_iter();
    let mut betas = call.floats_of("activation_beta")?.unwrap_or_default().into_iter();
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let mut alpha = |default: f64| alphas.next().unwrap_or(default);
        let mut beta = |default: f64| betas.next().unwrap_or(default);
        found.push(match name.to_ascii_lowercase().as_str() {
            "relu" => Function::Plain(Activation::Relu),
            "tanh" => Function::Plain(Activation::Tanh),
            "sigmoid" => Function::Plain(Activation::Sigmoid),
            "softplus" => Function::Plain(Activation::Softplus),
            "softsign" => Function::Softsign,
            "leakyrelu" => Function::Plain(Activation::LeakyRelu(alpha(0.01))),
            "thresholdedrelu" => Function::ThresholdedRelu(alpha(1.0)),
            "elu" => Function::Elu(alpha(1.0)),
            "affine" => Function::Affine(alpha(1.0), beta(0.0)),
            "scaledtanh" => Function::ScaledTanh(alpha(1.0), beta(1.0)),
            "hardsigmoid" => Function::HardSigmoid(alpha(0.2), beta(0.5)),
            _ => return Err(format!("the activation `{name}` is not supported")),
        });
    }
    Ok(found)
}

/// One direction of a layer, ready to be run.
struct Direction<'b> {
    /// `[t, n, gates * h]`: what the inputs add to each step.
    inputs: Tensor<'b>,
    /// `[gates * h, h]`.
    recurrent: Tensor<'b>,
    /// `[gates * h]`: the biases of the recurrent part.
    bias: Tensor<'b>,
    /// `[states.., n, h]`.
    states: Vec<Tensor<'b>>,
    peepholes: Option<Tensor<'b>>,
    functions: Vec<Function>,
}

/// What all recurrent layers have in common.
struct Layer<'b> {
    directions: Vec<Direction<'b>>,
    units: usize,
    length: usize,
    batch_first: bool,
    backward: Vec<bool>,
    /// `[t, n]`, true within each sequence, where lengths are given.
    within: Option<Tensor<'b>>,
    clip: Option<f64>,
}

/// `x w^T` over the last axis.
fn by_rows<'b>(x: Tensor<'b>, w: Tensor<'b>) -> Tensor<'b> {
    let axes = DotAxes {
        lhs_contract: vec![x.rank().saturating_sub(1)],
        rhs_contract: vec![1],
        ..DotAxes::default()
    };
    x.dot(w, axes)
}

impl<'b> Layer<'b> {
    fn read(
        call: &Call<'_, '_, 'b>,
        gates: usize,
        n_states: usize,
        default: &[&str],
    ) -> Result<Layer<'b>, String> {
        let batch_first = call.flag("layout")?;
        let turned = |x: Tensor<'b>| if batch_first { x.move_axis(1, 0) } else { x };
        let (mut x, w, r) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
        if x.rank() != 3 {
            return Err(format!("an input of shape {:?}", x.shape()));
        }
        x = turned(x);
        let [length, batch, inputs] = three(x)?;
        let [n_directions, rows, units] = three(r)?;
        let backward = match call.text_or("direction", "forward")? {
            "forward" => vec![false],
            "reverse" => vec![true],
            "bidirectional" => vec![false, true],
            other => return Err(format!("attribute `direction` is `{other}`")),
        };
        if backward.len() != n_directions
            || rows != gates * units
            || w.shape() != [n_directions, rows, inputs]
            || length == 0
        {
            return Err(format!(
                "weights of shapes {:?} and {:?} for an input of shape {:?}",
                w.shape(),
                r.shape(),
                x.shape()
            ));
        }
        let builder = call.builder();
        let float = builder.float();
        let bias = match call.optional(3)? {
            Some(bias) if bias.shape() == [n_directions, 2 * rows] => bias,
            Some(bias) => return Err(format!("biases of shape {:?}", bias.shape())),
            None => builder.zeros(&TensorType::new(float, [n_directions, 2 * rows])),
        };
        let mut states = Vec::new();
        for i in 0..n_states {
            let ty = TensorType::new(float, [n_directions, batch, units]);
            states.push(if call.has(5 + i) {
                let state = turned(call.tensor(5 + i)?);
                let state = call.tracer.batch.fit(Laid::plain_of(state), 1, batch)?.tensor;
                if state.ty() != ty {
                    return Err(format!("a state of type {}, not {ty}", state.ty()));
                }
                state
            } else {
                builder.zeros(&ty)
            });
        }
        let peepholes = if n_states == 2 { call.optional(7)? } else { None };
        let functions = functions(call, default, n_directions)?;
        let within = match call.has(4) {
            false => None,
            true => {
                let known = match call.value(4)? {
                    Value::Host(_) => Some(call.host_integers(4)?),
                    _ => None,
                };
                match known {
                    Some(lengths) if lengths.iter().all(|&n| n == length as i64) => None,
                    _ if backward.contains(&true) => {
                        return Err(
                            "sequences of different lengths backwards are not supported".into()
                        );
                    }
                    _ => {
                        let lengths = call.tensor(4)?.convert(DType::I64);
                        if lengths.shape() != [batch] {
                            return Err(format!("lengths of shape {:?}", lengths.shape()));
                        }
                        let time = builder.iota(DType::I64, &[length, batch], 0);
                        Some(time.less(lengths.broadcast_in(&[length, batch], &[1])))
                    }
                }
            }
        };
        let mut directions = Vec::new();
        for (d, &reversed) in backward.iter().enumerate() {
            let x = if reversed { x.reverse(&[0]) } else { x };
            let bias = bias.index(0, d);
            directions.push(Direction {
                inputs: by_rows(x, w.index(0, d)) + bias.slice(0, 0, rows),
                recurrent: r.index(0, d),
                bias: bias.slice(0, rows, 2 * rows),
                states: states.iter().map(|state| state.index(0, d)).collect(),
                peepholes: peepholes.map(|peepholes| peepholes.index(0, d)),
                functions: functions[d * default.len()..(d + 1) * default.len()].to_vec(),
            });
        }
        Ok(Layer {
            directions,
            units,
            length,
            batch_first,
            backward,
            within,
            clip: call.float("clip")?,
        })
    }

    /// Runs every direction and gives all states, then the last of each kind.
    ///
    /// `step` maps the inputs of a step, its states and the constants to the next states, the
    /// first of which is what the layer gives.
    fn run(
        &self,
        call: &Call<'_, '_, 'b>,
        step: impl for<'s> Fn(Step<'s, '_>) -> Vec<Tensor<'s>> + Copy,
    ) -> Outcome<'b> {
        let builder = call.builder();
        let (mut all, mut last) = (Vec::new(), Vec::new());
        for (direction, &reversed) in self.directions.iter().zip(&self.backward) {
            let mut constants = vec![direction.recurrent, direction.bias];
            constants.extend(direction.peepholes);
            let mut xs = vec![direction.inputs];
            xs.extend(self.within);
            let (units, clip, functions) = (self.units, self.clip, direction.functions.as_slice());
            // Every state is kept for the backward pass: they are small beside the steps' work.
            let (states, outputs) =
                builder.scan(self.length, &direction.states, &xs, &constants, 0, |scan| {
                    let next = step(Step {
                        inputs: scan.xs[0],
                        states: scan.carry,
                        recurrent: scan.constants[0],
                        bias: scan.constants[1],
                        peepholes: scan.constants.get(2).copied(),
                        functions,
                        units,
                        clip,
                    });
                    let Some(&within) = scan.xs.get(1) else {
                        let shown = vec![next[0]];
                        return (next, shown);
                    };
                    let inside = within.broadcast_in(&next[0].shape(), &[0]);
                    let kept = next
                        .iter()
                        .zip(scan.carry)
                        .map(|(&next, &before)| inside.select(next, before))
                        .collect();
                    (kept, vec![inside.select(next[0], next[0].zeros_like())])
                });
            let output = outputs.first().copied().ok_or("a loop without outputs")?;
            all.push(if reversed { output.reverse(&[0]) } else { output });
            last.push(states);
        }
        let rows: Vec<Tensor<'b>> = all.iter().map(|output| output.expand(1)).collect();
        let mut y = builder.concatenate(&rows, 1);
        if self.batch_first {
            y = y.transpose(&[2, 0, 1, 3]);
        }
        let mut out = vec![Value::from(y)];
        let n_states = last.first().map_or(0, Vec::len);
        for i in 0..n_states {
            let states: Vec<Tensor<'b>> = last.iter().map(|states| states[i]).collect();
            let state = builder.stack(&states);
            out.push(Value::from(if self.batch_first { state.move_axis(1, 0) } else { state }));
        }
        Ok(out)
    }
}

fn three(x: Tensor<'_>) -> Result<[usize; 3], String> {
    <[usize; 3]>::try_from(x.shape())
        .map_err(|shape| format!("three axes are needed, got {shape:?}"))
}

/// What a step sees.
struct Step<'s, 'a> {
    inputs: Tensor<'s>,
    states: &'a [Tensor<'s>],
    recurrent: Tensor<'s>,
    bias: Tensor<'s>,
    peepholes: Option<Tensor<'s>>,
    functions: &'a [Function],
    units: usize,
    clip: Option<f64>,
}

impl<'s> Step<'s, '_> {
    /// The rows of a gate.
    fn gate(&self, x: Tensor<'s>, i: usize) -> Tensor<'s> {
        let axis = x.rank().saturating_sub(1);
        x.slice(axis, i * self.units, (i + 1) * self.units)
    }

    /// An activation of clipped values.
    fn activate(&self, i: usize, x: Tensor<'s>) -> Tensor<'s> {
        let x = match self.clip {
            Some(bound) => {
                let above = x.less(-bound).select(-bound, x);
                above.greater(bound).select(bound, above)
            }
            None => x,
        };
        self.functions[i].of(x)
    }
}

pub fn rnn<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let layer = Layer::read(call, 1, 1, &["Tanh"])?;
    layer.run(call, |step| {
        let sum = step.inputs + by_rows(step.states[0], step.recurrent) + step.bias;
        vec![step.activate(0, sum)]
    })
}

pub fn gru<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let layer = Layer::read(call, 3, 1, &["Sigmoid", "Tanh"])?;
    let reset_after = call.flag("linear_before_reset")?;
    layer.run(call, |step| {
        let h = step.states[0];
        let units = step.units;
        let rows = |from: usize, to: usize| step.recurrent.slice(0, from * units, to * units);
        let biases = |from: usize, to: usize| step.bias.slice(0, from * units, to * units);
        let gates = by_rows(h, rows(0, 2)) + biases(0, 2);
        let z = step.activate(0, step.gate(step.inputs, 0) + step.gate(gates, 0));
        let r = step.activate(0, step.gate(step.inputs, 1) + step.gate(gates, 1));
        let inner = if reset_after {
            r * (by_rows(h, rows(2, 3)) + biases(2, 3))
        } else {
            by_rows(r * h, rows(2, 3)) + biases(2, 3)
        };
        let candidate = step.activate(1, step.gate(step.inputs, 2) + inner);
        vec![(1.0 - z) * candidate + z * h]
    })
}

pub fn lstm<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let layer = Layer::read(call, 4, 2, &["Sigmoid", "Tanh", "Tanh"])?;
    let coupled = call.flag("input_forget")?;
    layer.run(call, |step| {
        let (h, c) = (step.states[0], step.states[1]);
        let gates = step.inputs + by_rows(h, step.recurrent) + step.bias;
        // Gates i, o, f, c; peepholes i, o, f.
        let peep = |i: usize| step.peepholes.map(|p| step.gate(p, i));
        let mut input = step.gate(gates, 0);
        let mut forget = step.gate(gates, 2);
        if let Some(p) = peep(0) {
            input = input + p * c;
        }
        if let Some(p) = peep(2) {
            forget = forget + p * c;
        }
        let input = step.activate(0, input);
        let forget = if coupled { 1.0 - input } else { step.activate(0, forget) };
        let cell = forget * c + input * step.activate(1, step.gate(gates, 3));
        let mut output = step.gate(gates, 1);
        if let Some(p) = peep(1) {
            output = output + p * cell;
        }
        let output = step.activate(0, output);
        vec![output * step.functions[2].of(cell), cell]
    })
}
