//! The curvature of a trained ResNet-20 on 2,000 images of Fashion-MNIST.
//!
//! The network is trained here for a few epochs; a peer gets its weights and the normalised images
//! by file. What is timed is the whole of a method, with as many products as it needs.

use crate::workload::Failure;
use std::path::Path;
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::{Dataset, Normalization, Provenance, Split, SplitConfig, Stream, Subset};
use thalweg_exec::Executor;
use thalweg_formats::{dataset, npz};
use thalweg_methods::curvature::{
    DensityConfig, Hessian, HutchinsonConfig, LanczosConfig, density, hutchinson, lanczos,
};
use thalweg_methods::{Context, ModelObjective, ObjectiveConfig};
use thalweg_nn::{Architecture, Loss, Model, Weights, from_torch, to_torch};
use thalweg_train::{Examples, Length, Member, Resources, TrainConfig, Trainer, Unobserved};

/// Parts of the work, each a workload of its own.
pub const CURVATURE: [&str; 4] =
    ["curvature-eigenpairs", "curvature-eigenpairs-short", "curvature-trace", "curvature-density"];

const IMAGES: usize = 2000;
/// Of these, in a workload that ends in `-short`.
const SHORT: usize = 500;
const SHAPE: [usize; 3] = [28, 28, 1];
const BATCH: usize = 125;
const SEED: u64 = 7;
const EPOCHS: u64 = 3;

/// Eigenpairs to this residual, the trace to this standard error, in which they take part.
const RESIDUAL: f64 = 1e-3;
const TRACE_ERROR: f64 = 0.05;
const TOP: usize = 10;
const PROBES: usize = 10;
/// Steps of the density that are timed. A step is one product for each probe, and 80 make a
/// density: hours for a peer.
pub const STEPS: usize = 2;

fn model() -> Result<Model, Failure> {
    Ok("resnet depth=20 width=16".parse::<Architecture>()?.build(&SHAPE, 10)?)
}

fn images(workload: &str) -> usize {
    if workload.ends_with("-short") { SHORT } else { IMAGES }
}

/// Trains the network; its weights under PyTorch's names, the data that its curvature is of.
///
/// # Errors
/// Fashion-MNIST is not installed.
pub fn prepare(workload: &str, threads: usize) -> Result<Vec<(String, Array)>, Failure> {
    let all = dataset::load("fashion-mnist", &[], &dataset::DataConfig::default())?;
    let split = Split::new(all, &SplitConfig::default())?;
    let train = split.train.subsample(IMAGES, &Stream::new(SEED, "images"))?;
    let normalization = Normalization::fit(&train)?;
    let examples = Examples::new(&train, Some(&normalization), DType::F32)?;
    let measured = 0..images(workload);
    let x = examples.input_rows(measured.clone())?.remove(0);
    let y = examples.targets().rows(measured)?;
    let config =
        TrainConfig { batch: BATCH, length: Length::Epochs(EPOCHS), ..TrainConfig::default() };
    let executor = Arc::new(Executor::new(threads));
    let trainer = Trainer::new(executor, model()?, examples, config, Resources::default())?;
    let mut state = trainer.start(&[Member::new(SEED, 0.1)])?;
    trainer.run(&mut state, &mut Unobserved)?;
    let mut named = vec![("x".to_owned(), x), ("y".to_owned(), y)];
    for (name, array) in to_torch(&model()?, &state.weights(0)?)? {
        named.push((format!("parameter/{name}"), array));
    }
    Ok(named)
}

/// The loss of the trained network and its point.
pub struct Curvature {
    objective: ModelObjective,
    weights: Weights,
}

impl Curvature {
    /// What [`prepare`] left in a file.
    ///
    /// # Errors
    /// A file that is not of its making.
    pub fn read(ctx: &Context<'_>, inputs: &Path) -> Result<Curvature, Failure> {
        let arrays = npz::read(&std::fs::read(inputs)?)?;
        let find = |name: &str| {
            let found = arrays.iter().find(|(known, _)| known == name);
            found.map(|(_, array)| array).ok_or_else(|| format!("no array {name}"))
        };
        let provenance = Provenance::default();
        let data = Dataset::classification("images", find("x")?, find("y")?, Some(10), provenance)?;
        let named: Vec<(String, Array)> = arrays
            .iter()
            .filter_map(|(name, array)| {
                Some((name.strip_prefix("parameter/")?.to_owned(), array.clone()))
            })
            .collect();
        let model = model()?;
        let weights = from_torch(&model, &named, DType::F32)?;
        let config = ObjectiveConfig { batch: BATCH, ..ObjectiveConfig::default() };
        let subset = Subset::all(Arc::new(data));
        let objective = ModelObjective::new(ctx, &model, Loss::default(), &subset, None, &config)?;
        Ok(Curvature { objective, weights })
    }

    /// One part of the work: numbers by name, of which a peer's `same` ones are to agree, and
    /// `products`, how many products with the Hessian they took.
    ///
    /// # Errors
    /// A part that is none; those of the methods.
    pub fn run(&self, ctx: &Context<'_>, part: &str) -> Result<Vec<(String, Array)>, Failure> {
        let hessian = Hessian::new(ctx, &self.objective, &self.weights)?;
        let (products, numbers) = match part {
            "curvature-eigenpairs" | "curvature-eigenpairs-short" => {
                let config =
                    LanczosConfig { top: TOP, tolerance: RESIDUAL, ..LanczosConfig::default() };
                let found = lanczos(ctx, &hessian, &config)?;
                let column = |part: fn(&thalweg_methods::curvature::Eigenpair) -> f64| {
                    Array::vector(&found.top.iter().map(part).collect::<Vec<_>>())
                };
                let values = [("value", column(|p| p.value)), ("error", column(|p| p.residual))];
                (found.products, values.to_vec())
            }
            "curvature-trace" => {
                let config =
                    LanczosConfig { top: TOP, tolerance: RESIDUAL, ..LanczosConfig::default() };
                let known = lanczos(ctx, &hessian, &config)?;
                let config = HutchinsonConfig { probes: 1000, tolerance: TRACE_ERROR };
                let found = hutchinson(ctx, &hessian, &known.top, &config)?.trace;
                let [value, error] =
                    [found.value, found.standard_error].map(|x| Array::vector(&[x]));
                (known.products + found.samples, vec![("value", value), ("error", error)])
            }
            "curvature-density" => {
                let config =
                    DensityConfig { probes: PROBES, steps: STEPS, ..DensityConfig::default() };
                let found = density(ctx, &hessian, &config)?;
                // The first moment, in which densities with other probes agree.
                let [value, error] =
                    [found.mean.value, found.mean.standard_error].map(|x| Array::vector(&[x]));
                (found.products, vec![("value", value), ("error", error)])
            }
            other => return Err(format!("{other}: not one of {}", CURVATURE.join(", ")).into()),
        };
        let products = ("products".to_owned(), Array::vector(&[products as f64]));
        let numbers = numbers.into_iter().map(|(name, array)| (name.to_owned(), array));
        Ok(numbers.chain([products]).collect())
    }
}

/// Operations of one product with all images of a workload.
///
/// # Errors
/// None for this model.
pub fn product_flops(workload: &str) -> Result<u64, Failure> {
    let graph = crate::hvp_graph(&model()?, DType::F32, &SHAPE, BATCH)?;
    Ok(thalweg_nn::flops(&graph).total() * (images(workload) / BATCH) as u64)
}
