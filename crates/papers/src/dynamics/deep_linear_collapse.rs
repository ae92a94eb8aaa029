//! Descent on free features under a deep linear classifier ends where theory says: class vectors
//! orthogonal, their lengths those of a closed form in the sizes of the classes; a simplex where
//! classes are equal and the last layer has a bias.
//!
//! # Protocol
//! Four classes of 40, 20, 10, 10 examples, features of 32 dimensions, 1 and 3 matrices, half the
//! squared error with weight decay 5e-4 on everything; momentum 0.9 at rate 0.1 on all examples,
//! 20,000 steps from draws of deviation 0.1, in double precision, eight seeds. And four classes of 20
//! with 3 matrices, with and without a bias (which has no decay).
//!
//! Deciding, each over seeds and of each seed the worse of the two depths: `NC1` below 0.01; the
//! distances of `W W^T`, of the Gram matrix of class means and of their outputs from the predicted
//! diagonals below 0.05 ([`frame_distance`]); the distance of `W W^T` from equal lengths greater than
//! that from the prediction by 0.05; with a bias the distance of `W W^T` from a simplex below 0.05.
//!
//! Beside it, gates on where classes vanish, for three matrices whose decay puts the two rarest classes at
//! 0.8, 0.95, 1.05 and 1.2 times their threshold: the whole objective with these classes away from zero is
//! lower than with them at zero below the threshold, and higher above. There it is a local minimum still:
//! a descent of 1,000 steps from it and noise of deviation 1e-3 stays at 1.55 times the threshold, and one from
//! where the minimum ends (1.587 times) loses both classes at 1.65 times. The two descents start by theory,
//! because descent from small draws collapses wholly at decays so large.
//!
//! And digits, 150 to 30 of a class, under three layers with ReLU and three linear ones of 64 units without
//! biases, whose features begin short and pay for their length with the same decay as free ones: 4,000 steps
//! at rate 0.02, three seeds, with NC1 and the distance from the prediction behind each linear layer at three
//! times.
//!
//! # Departures
//! The claim is of free features, and they alone decide; digits are read beside them. A fifth of the paper's
//! size.
//!
//! That balanced classes with a bias make a simplex is decided by `W W^T` alone, as the row has it.
//! Of the features of these networks, their scatter within classes and the simplex of their centred
//! means, nothing is decided or read.
//!
//! # Source    Dang et al., Neural collapse in deep linear networks, 2023, arXiv 2301.00437

mod digits;
mod threshold;

use crate::bench::Bench;
use crate::check::{Check, Findings, Gate, Part, Protocol, Scale};
use crate::spectrum::objective;
use crate::statistic::mean;
use crate::work;
use thalweg_array::{Array, DType};
use thalweg_lab::Result;
use thalweg_methods::common::{Gradients, vector};
use thalweg_methods::dynamics::{
    ClassCollapse, CollapseConfig, deep_linear_collapse, frame_distance, free_features,
    simplex_frame, within_class_variability,
};
use thalweg_nn::{Loss, Model, Multipliers, Parameters, Weights};
use thalweg_stats::Bound;
use thalweg_train::{Examples, Length, Member, Schedule, TrainConfig, Trainer};

/// The check.
pub(crate) struct DeepLinearCollapse;

const IMBALANCED: [usize; 4] = [40, 20, 10, 10];
const BALANCED: [usize; 4] = [20; 4];
const DEPTHS: [usize; 2] = [1, 3];
const DECAY: f64 = 5e-4;
/// The rate of every descent.
const RATE: f64 = 0.1;
/// The parameter that holds the free features.
const FEATURES: &str = "features.weight";

/// Width, steps and seeds.
fn sizes(scale: Scale) -> (usize, u64, u64) {
    match scale {
        Scale::Whole => (32, 20_000, 8),
        Scale::Sample => (6, 3_000, 2),
    }
}

fn config(depth: usize) -> CollapseConfig {
    CollapseConfig { depth, decay_weights: DECAY, decay_features: DECAY }
}

/// The label of each example.
fn labels(counts: &[usize]) -> Vec<usize> {
    counts.iter().enumerate().flat_map(|(class, &count)| vec![class; count]).collect()
}

/// Unit vectors, one an example, and labels.
fn examples(counts: &[usize]) -> Result<Examples> {
    let labels: Vec<i32> = labels(counts).into_iter().map(|label| label as i32).collect();
    let n = labels.len();
    let units: Vec<f64> = (0..n * n).map(|i| f64::from(u8::from(i / n == i % n))).collect();
    let inputs = Array::from_slice(&[n, n], &units)?;
    Ok(Examples::from_arrays(inputs, Array::vector(&labels), true, DType::F64)?)
}

/// Rows of a matrix.
fn rows(parameters: &Parameters, name: &str) -> Vec<Vec<f64>> {
    let Some(array) = parameters.get(name) else { return Vec::new() };
    let width = array.shape().get(1).copied().unwrap_or(1).max(1);
    array.to_f64_vec().chunks(width).map(<[f64]>::to_vec).collect()
}

fn product(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let row = |row: &Vec<f64>| {
        let mut sum = vec![0.0; b.first().map_or(0, Vec::len)];
        row.iter().zip(b).for_each(|(x, other)| vector::add_scaled(&mut sum, *x, other));
        sum
    };
    a.iter().map(row).collect()
}

/// The product of all matrices.
fn product_of_all(weights: &Parameters, depth: usize) -> Vec<Vec<f64>> {
    let first = rows(weights, "w1.weight");
    (2..=depth).fold(first, |map, i| product(&map, &rows(weights, &format!("w{i}.weight"))))
}

fn transposed(a: &[Vec<f64>]) -> Vec<Vec<f64>> {
    (0..a.first().map_or(0, Vec::len)).map(|j| a.iter().map(|row| row[j]).collect()).collect()
}

fn diagonal(values: impl Iterator<Item = f64>) -> Vec<Vec<f64>> {
    let values: Vec<f64> = values.collect();
    let row = |i: usize| {
        let mut row = vec![0.0; values.len()];
        row[i] = values[i];
        row
    };
    (0..values.len()).map(row).collect()
}

/// What is read off one end of descent.
struct End {
    variability: f64,
    classifier: f64,
    features: f64,
    outputs: f64,
    equal: f64,
    simplex: f64,
}

fn read(weights: &Parameters, counts: &[usize], depth: usize) -> Result<End> {
    let classes = counts.len();
    let (features, labels) = (rows(weights, FEATURES), labels(counts));
    let map = product_of_all(weights, depth);
    let mut means = vec![vec![0.0; features.first().map_or(0, Vec::len)]; classes];
    for (feature, &label) in features.iter().zip(&labels) {
        vector::add_scaled(&mut means[label], 1.0 / counts[label] as f64, feature);
    }
    let predicted = deep_linear_collapse(counts, &config(depth))?;
    let aim = |of: fn(&ClassCollapse) -> f64| diagonal(predicted.iter().map(of));
    let gram = product(&transposed(&map), &map);
    Ok(End {
        variability: within_class_variability(&features, &labels, classes)?,
        classifier: frame_distance(&gram, &aim(ClassCollapse::classifier_gram))?,
        features: frame_distance(
            &product(&means, &transposed(&means)),
            &aim(ClassCollapse::feature_gram),
        )?,
        outputs: frame_distance(&product(&means, &map), &aim(ClassCollapse::output))?,
        equal: frame_distance(&gram, &diagonal((0..classes).map(|_| 1.0)))?,
        simplex: frame_distance(&gram, &simplex_frame(classes))?,
    })
}

/// The objective with the decay of a problem, and its gradient, at some weights.
fn penalised(
    bench: &Bench<'_>,
    model: &Model,
    counts: &[usize],
    weights: &Weights,
    problem: &CollapseConfig,
) -> Result<(f64, Vec<f64>)> {
    let ctx = bench.exact()?;
    let objective = objective(&ctx, model, Loss::HalfSquaredError, &examples(counts)?)?;
    let at = Gradients::new(&ctx, &objective)?.at(weights)?;
    let (mut value, mut gradient) = (at.at.loss, at.gradient);
    let mut rest = gradient.as_mut_slice();
    for (name, array) in weights.parameters.iter() {
        let decay = decay_of(name, problem);
        let values = array.to_f64_vec();
        value += 0.5 * decay * vector::dot(&values, &values);
        let (own, others) = rest.split_at_mut(values.len());
        vector::add_scaled(own, decay, &values);
        rest = others;
    }
    Ok((value, gradient))
}

fn decay_of(name: &str, problem: &CollapseConfig) -> f64 {
    match name {
        FEATURES => problem.decay_features,
        _ => problem.decay_weights,
    }
}

/// The weights that have each class along an axis of its own.
fn along_axes(model: &Model, counts: &[usize], classes: &[ClassCollapse]) -> Result<Weights> {
    let labels = labels(counts);
    let mut arrays = Vec::new();
    for parameter in model.parameters() {
        let (height, width) = (parameter.shape[0], parameter.shape[1]);
        let mut values = vec![0.0; height * width];
        if parameter.name == FEATURES {
            for (i, &label) in labels.iter().enumerate() {
                values[i * width + label] = classes[label].feature;
            }
        } else {
            for (k, class) in classes.iter().enumerate() {
                values[k * width + k] = class.strength;
            }
        }
        arrays.push(Array::from_slice(&parameter.shape, &values)?);
    }
    let buffers = model.initial_buffers(DType::F64);
    Ok(Weights { parameters: model.parameter_tree(arrays)?, buffers })
}

/// The weights of the closed form.
fn closed_form(model: &Model, counts: &[usize], depth: usize) -> Result<Weights> {
    along_axes(model, counts, &deep_linear_collapse(counts, &config(depth))?)
}

/// Descent on all examples of a problem.
fn descent(
    bench: &Bench<'_>,
    model: &Model,
    counts: &[usize],
    problem: &CollapseConfig,
    steps: u64,
) -> Result<Trainer> {
    let data = examples(counts)?;
    let decay = problem.decay_weights;
    let share = problem.decay_features / decay;
    let model = model.clone().with_multipliers(|parameter| match parameter.name.as_str() {
        FEATURES => Multipliers { decay: share, ..parameter.multipliers },
        _ => parameter.multipliers,
    });
    let config = TrainConfig {
        optimizer: format!("sgd:momentum=0.9,weight_decay={decay},decay_on=weights").parse()?,
        schedule: Schedule::default(),
        loss: Loss::HalfSquaredError,
        batch: data.len(),
        length: Length::Steps(steps),
        precision: DType::F64,
        segment: 500,
        ..TrainConfig::default()
    };
    bench.trainer(&model, &data, config)
}

/// Ends of descent, one a seed.
fn descend(
    bench: &Bench<'_>,
    key: &str,
    model: &Model,
    counts: &[usize],
    seeds: &[u64],
) -> Result<Vec<Weights>> {
    let (_, steps, _) = sizes(bench.scale());
    // Every matrix and the features decay alike, so that the depth does not matter here.
    let trainer = descent(bench, model, counts, &config(1), steps)?;
    let members = Member::product(seeds, &[RATE]);
    let networks = bench.train(key, &trainer, &members)?;
    Ok(networks.into_iter().map(|network| network.weights).collect())
}

impl Check for DeepLinearCollapse {
    fn slug(&self) -> &'static str {
        "deep_linear_collapse"
    }

    fn protocol(&self, scale: Scale, root: u64) -> Result<Protocol> {
        let (width, steps, seeds) = sizes(scale);
        let mut flops = 0;
        for (depth, bias) in [(1, false), (3, false), (3, false), (3, true)] {
            let model = free_features(80, width, depth, 4, bias)?;
            flops += work::training(&model, 80, steps, seeds as usize)?;
        }
        let part = |name, statistic, bound| Part { name, statistic, bound };
        let short = free_features(80, width, 3, 4, false)?;
        flops += work::training(&short, 80, 2 * threshold::SHORT, 1)?;
        flops += digits::flops(scale)?;
        Ok(Protocol {
            data: "free features of 80 examples in 4 classes".into(),
            arms: vec![
                "classes of 40, 20, 10, 10 without a bias, 1 and 3 matrices".into(),
                "classes of 20 with 3 matrices, with and without a bias".into(),
            ],
            settings: 1,
            seeds: (root..root + seeds).collect(),
            parts: vec![
                part("NC1", "scatter within classes over that between them", Bound::below(0.01)),
                part(
                    "NC2 of the classifier",
                    "distance of W W^T from the predicted diagonal",
                    Bound::below(0.05),
                ),
                part(
                    "NC2 of the features",
                    "distance of the class means' Gram matrix from the predicted diagonal",
                    Bound::below(0.05),
                ),
                part(
                    "NC3",
                    "distance of the class means' outputs from the predicted diagonal",
                    Bound::below(0.05),
                ),
                part(
                    "prediction over equal lengths",
                    "distance of W W^T from equal lengths minus that from the prediction",
                    Bound::above(0.05),
                ),
                part(
                    "simplex with a bias",
                    "distance of W W^T from a simplex where classes are equal",
                    Bound::below(0.05),
                ),
            ],
            flops,
        })
    }

    fn gates(&self, bench: &Bench<'_>) -> Result<Vec<Gate>> {
        let (width, _, _) = sizes(bench.scale());
        let mut gates = Vec::new();
        for depth in DEPTHS {
            let model = free_features(80, width, depth, 4, false)?;
            let weights = closed_form(&model, &IMBALANCED, depth)?;
            let (_, gradient) = penalised(bench, &model, &IMBALANCED, &weights, &config(depth))?;
            let norm = vector::norm(&gradient);
            let name = format!("the closed form of {depth} matrices is stationary");
            gates.push(Gate::new(&name, norm < 1e-9, format!("gradient of norm {norm:.1e}")));
            let end = read(&weights.parameters, &IMBALANCED, depth)?;
            let worst = [end.variability, end.classifier, end.features, end.outputs];
            let worst = worst.into_iter().fold(0.0, f64::max);
            let name = format!("the closed form of {depth} matrices is at no distance from itself");
            let found = format!("{worst:.1e}, and {:.2} from equal lengths", end.equal);
            gates.push(Gate::new(&name, worst < 1e-9 && end.equal > 0.1, found));
        }
        gates.extend(threshold::gates(bench)?);
        Ok(gates)
    }

    fn remark(&self) -> Option<&'static str> {
        Some(
            "The simplex of balanced classes with a bias is that of the classifier's W W^T alone: \
             nothing was decided or read of the features there. With digits the matrices come \
             closer to the prediction from the first linear layer to the outputs (distances 0.13, \
             0.09 and 0.02 at the end), and decide nothing.",
        )
    }

    fn measure(&self, bench: &Bench<'_>) -> Result<Findings> {
        let (width, _, _) = sizes(bench.scale());
        let seeds = self.protocol(bench.scale(), bench.root())?.seeds;
        let mut findings = Findings::default();
        let mut ends: Vec<Vec<End>> = seeds.iter().map(|_| Vec::new()).collect();
        let mut least = f64::INFINITY;
        for depth in DEPTHS {
            let model = free_features(80, width, depth, 4, false)?;
            let key = format!("imbalanced/{depth}");
            let weights = descend(bench, &key, &model, &IMBALANCED, &seeds)?;
            let best = closed_form(&model, &IMBALANCED, depth)?;
            let best = penalised(bench, &model, &IMBALANCED, &best, &config(depth))?.0;
            for (ends, weights) in ends.iter_mut().zip(&weights) {
                ends.push(read(&weights.parameters, &IMBALANCED, depth)?);
                let value = penalised(bench, &model, &IMBALANCED, weights, &config(depth))?.0;
                least = least.min(value - best);
            }
        }
        let worst = |of: fn(&End) -> f64| -> Vec<f64> {
            ends.iter().map(|ends| ends.iter().map(of).fold(f64::NEG_INFINITY, f64::max)).collect()
        };
        let surplus = worst(|end| end.classifier - end.equal).into_iter().map(|x| -x);
        let biased = free_features(80, width, 3, 4, true)?;
        let biased = descend(bench, "balanced/biased", &biased, &BALANCED, &seeds)?;
        let plain = free_features(80, width, 3, 4, false)?;
        let plain = descend(bench, "balanced/plain", &plain, &BALANCED, &seeds)?;
        let of_balanced = |weights: &[Weights], of: fn(&End) -> f64| -> Result<Vec<f64>> {
            weights.iter().map(|w| Ok(of(&read(&w.parameters, &BALANCED, 3)?))).collect()
        };
        for samples in [
            worst(|end| end.variability),
            worst(|end| end.classifier),
            worst(|end| end.features),
            worst(|end| end.outputs),
            surplus.collect(),
            of_balanced(&biased, |end| end.simplex)?,
        ] {
            findings.parts.push(mean(&samples)?);
        }
        findings.gates.push(Gate::new(
            "no descent ends below the closed form",
            least > -1e-9,
            format!("objective minus that of the closed form is {least:.1e} at least"),
        ));
        let orthogonal = of_balanced(&plain, |end| end.classifier)?;
        findings.read_with("distance from an orthogonal frame without a bias", &mean(&orthogonal)?);
        let away = of_balanced(&plain, |end| end.simplex)?;
        findings.read_with("distance from a simplex without a bias", &mean(&away)?);
        digits::read(bench, &seeds, &mut findings)?;
        Ok(findings)
    }
}
