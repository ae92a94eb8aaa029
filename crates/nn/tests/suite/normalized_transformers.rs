//! Transformers whose layers are normalised, against the same written out.

use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_exec::reference;
use thalweg_graph::{Builder, DotAxes, Tensor};
use thalweg_nn::layer::{
    Activation, Convolution, Dense, DenseLayout, Embedding, LayerNorm, RmsNorm,
    scaled_dot_product_attention,
};
use thalweg_nn::{
    Architecture, Axis, Initializer, Layer, Mode, Model, ModelPort, Parameter, PortType, Role,
    Scope,
};

const WIDTH: usize = 6;
const HEADS: usize = 2;
/// Tokens, and classes.
const OUTPUTS: usize = 4;
const CONTEXT: usize = 3;

fn dense<'b>(
    scope: &Scope<'_, 'b>,
    name: &str,
    (outputs, layout): (usize, DenseLayout),
    x: Tensor<'b>,
) -> Tensor<'b> {
    let layer = Dense { bias: false, layout, ..Dense::new(outputs) };
    layer.forward(&scope.enter(name), x)
}

/// Layer normalisation over the units of each position.
fn layer_norm<'b>(scope: &Scope<'_, 'b>, name: &str, eps: f64, x: Tensor<'b>) -> Tensor<'b> {
    LayerNorm { eps }.forward(&scope.enter(name), x)
}

/// GPT-2 of one block, of which every layer is followed by root-mean-square normalisation.
struct Gpt;

impl Layer for Gpt {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, tokens: Tensor<'b>) -> Tensor<'b> {
        let rms = |scope: &Scope<'_, 'b>, name: &str, x| {
            RmsNorm::default().forward(&scope.enter(name), x)
        };
        let wide = |outputs| (outputs, DenseLayout::InputFirst);
        let scope = scope.enter("transformer");
        let table = Embedding::new(OUTPUTS, WIDTH).table(&scope.enter("wte"));
        let places = Embedding::new(CONTEXT, WIDTH).table(&scope.enter("wpe"));
        let mut x = table.take(tokens) + places;
        let shape = x.shape();
        let block = scope.enter("h").enter("0");
        let attn = block.enter("attn");
        let all = dense(&attn, "c_attn", wide(3 * WIDTH), layer_norm(&block, "ln_1", 1e-5, x));
        let all = all.reshape(&[shape[0], CONTEXT, 3, HEADS, WIDTH / HEADS]);
        let q = rms(&attn, "q_norm", all.index(2, 0));
        let k = rms(&attn, "k_norm", all.index(2, 1));
        let mixed = scaled_dot_product_attention([q, k, all.index(2, 2)], true, |weights| weights);
        let mixed = dense(&attn, "c_proj", wide(WIDTH), mixed.reshape(&shape));
        x = x + rms(&attn, "c_proj_norm", mixed);
        let mlp = block.enter("mlp");
        let hidden = dense(&mlp, "c_fc", wide(4 * WIDTH), layer_norm(&block, "ln_2", 1e-5, x));
        let hidden = Activation::GeluTanh.of(rms(&mlp, "c_fc_norm", hidden));
        x = x + rms(&mlp, "c_proj_norm", dense(&mlp, "c_proj", wide(WIDTH), hidden));
        let x = layer_norm(&scope, "ln_f", 1e-5, x);
        let axes = DotAxes { lhs_contract: vec![2], rhs_contract: vec![1], ..DotAxes::default() };
        x.dot(table, axes)
    }
}

/// A vision transformer of one block on four patches, of which every layer is followed by layer
/// normalisation.
struct Vit;

impl Layer for Vit {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let norm = |scope: &Scope<'_, 'b>, name: &str, x| layer_norm(scope, name, 1e-5, x);
        let learned = |name: &str, positions| {
            let axes = [Axis::Other, Axis::Other, Axis::Output];
            let zero = Initializer::Constant(0.0);
            let shape = [1, positions, WIDTH];
            scope.parameter(Parameter::new(name, &shape, Role::Embedding, &axes, zero))
        };
        let linear = |outputs| (outputs, DenseLayout::Linear);
        let batch = x.shape()[0];
        let (class, places) = (learned("cls_token", 1), learned("pos_embed", 5));
        let embed = scope.enter("patch_embed");
        let patches = Convolution::new(WIDTH, 2).stride(2).bias(false);
        let patches = norm(&embed, "proj_norm", patches.forward(&embed.enter("proj"), x));
        let class = class.broadcast_to(&[batch, 1, WIDTH]);
        let all = [class, patches.reshape(&[batch, 4, WIDTH])];
        let mut x = scope.builder().concatenate(&all, 1) + places;
        let shape = x.shape();
        let block = scope.enter("blocks").enter("0");
        let attn = block.enter("attn");
        let all = dense(&attn, "qkv", linear(3 * WIDTH), layer_norm(&block, "norm1", 1e-6, x));
        let all = all.reshape(&[batch, 5, 3, HEADS, WIDTH / HEADS]);
        let q = norm(&attn, "q_norm", all.index(2, 0));
        let k = norm(&attn, "k_norm", all.index(2, 1));
        let mixed = scaled_dot_product_attention([q, k, all.index(2, 2)], false, |weights| weights);
        let mixed = dense(&attn, "proj", linear(WIDTH), mixed.reshape(&shape));
        x = x + norm(&attn, "proj_norm", mixed);
        let mlp = block.enter("mlp");
        let hidden = dense(&mlp, "fc1", linear(4 * WIDTH), layer_norm(&block, "norm2", 1e-6, x));
        let hidden = Activation::Gelu.of(norm(&mlp, "fc1_norm", hidden));
        x = x + norm(&mlp, "fc2_norm", dense(&mlp, "fc2", linear(WIDTH), hidden));
        let read = layer_norm(scope, "norm", 1e-6, x.index(1, 0));
        dense(scope, "head", linear(OUTPUTS), read)
    }
}

/// What a model gives for parameters that are all drawn at random.
fn output(model: &Model, input: &Array) -> Vec<f64> {
    let b = Builder::new(DType::F64);
    let (parameters, buffers) = model.declare(&b);
    let x = b.input("x", thalweg_graph::TensorType::new(input.dtype(), input.shape()));
    let applied = model.apply(&b, &parameters, &buffers, x, &Mode::EVALUATE);
    let graph = b.finish(&[("output", applied.output)]).unwrap();
    let mut inputs: Vec<Array> = (model.parameters().iter().enumerate())
        .map(|(i, parameter)| {
            let n: usize = parameter.shape.iter().product();
            let value = |j: usize| ((31 * i + 7 * j + 3) as f64 * 0.7).sin();
            Array::from_slice(&parameter.shape, &(0..n).map(value).collect::<Vec<f64>>()).unwrap()
        })
        .collect();
    inputs.push(input.clone());
    reference::evaluate(&graph, &inputs).unwrap()[0].to_f64_vec()
}

fn agrees(text: &str, written_out: &Model, input: &Array) {
    let built = text.parse::<Architecture>().unwrap().build(&input.shape()[1..], OUTPUTS).unwrap();
    let declared = |model: &Model| -> Vec<(String, Vec<usize>, Role)> {
        let of = |p: &Parameter| (p.name.clone(), p.shape.clone(), p.role);
        model.parameters().iter().map(of).collect()
    };
    assert_eq!(declared(&built), declared(written_out), "{text}");
    let (found, expected) = (output(&built, input), output(written_out, input));
    assert!(found.iter().any(|y| y.abs() > 0.1), "{found:?}");
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() <= 1e-12 * (1.0 + b.abs()), "{text}: {a} and {b}");
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn a_normalised_gpt_is_as_written_out() {
    let port = ModelPort { ty: PortType::Index, ..ModelPort::float("input", &[CONTEXT]) };
    let written_out = Model::new(Arc::new(Gpt), vec![port], &["output"]).unwrap();
    let tokens = Array::from_slice(&[2, CONTEXT], &[0i32, 3, 1, 2, 2, 0]).unwrap();
    agrees("gpt depth=1 width=6 heads=2 norm=rms bias=false", &written_out, &tokens);
}

#[test]
fn a_normalised_vision_transformer_is_as_written_out() {
    let port = ModelPort::float("input", &[4, 4, 1]);
    let written_out = Model::new(Arc::new(Vit), vec![port], &["output"]).unwrap();
    let pixels: Vec<f64> = (0..32).map(|i| f64::from(i * 11 % 17) / 8.0 - 1.0).collect();
    let pictures = Array::from_slice(&[2, 4, 4, 1], &pixels).unwrap();
    agrees("vit patch=2 depth=1 width=6 heads=2 norm=layer bias=false", &written_out, &pictures);
}

#[test]
fn a_sequence_is_not_normalised_over_its_positions_or_examples() {
    for (text, input) in [("gpt", vec![3]), ("vit", vec![8, 8, 1])] {
        for norm in ["batch", "group"] {
            let asked = format!("{text} norm={norm}").parse::<Architecture>().unwrap();
            let message = asked.build(&input, 3).unwrap_err().to_string();
            assert!(message.contains("none, layer or rms"), "{message}");
        }
    }
}
