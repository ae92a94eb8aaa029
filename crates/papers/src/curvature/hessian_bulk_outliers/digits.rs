//! Networks of several outputs on digits, and the upper ends of their spectra.

use super::clusters::descend;
use super::{GAP, Sizes};
use crate::bench::Bench;
use crate::check::Findings;
use crate::images::digits;
use crate::spectrum::{extremes, objective_of_first};
use crate::statistic::{column, mean};
use thalweg_array::DType;
use thalweg_lab::Result;
use thalweg_methods::curvature::{CurvatureMatrix, LanczosConfig, Scope, count_outliers};
use thalweg_nn::architecture::Mlp;
use thalweg_nn::layer::Activation;
use thalweg_nn::{Architecture, Loss, Model};
use thalweg_train::initialize;

/// Losses of several outputs.
pub(super) const LOSSES: [(&str, Loss); 2] = [
    ("cross-entropy", Loss::CrossEntropy { smoothing: 0.0 }),
    ("half the squared error", Loss::HalfSquaredError),
];

/// As many of the largest eigenvalues as the rule of the gap looks at, and some negative ones.
const ENDS: LanczosConfig =
    LanczosConfig { top: 31, bottom: 8, tolerance: 1e-3, max_products: 600 };

pub(super) fn network(width: usize, k: usize) -> Result<Model> {
    let mlp = Mlp { hidden: vec![width], activation: Activation::Tanh, ..Mlp::default() };
    Ok(Architecture::from(mlp).build(&[64], k)?)
}

/// Descends on the digits of the first `k` classes; outliers by the gap, the binary logarithm of the ratio
/// of the `k`-th absolute eigenvalue to the next, whether all pairs converged, and the gradient's norm.
fn spectrum(bench: &Bench<'_>, sizes: &Sizes, loss: Loss, k: usize, seed: u64) -> Result<[f64; 4]> {
    let ctx = bench.exact()?;
    let all = digits()?;
    let kept: Vec<usize> = (0..all.len()).filter(|&i| all.labels[i] < k as i32).collect();
    let examples = all.at(&kept).examples(true, DType::F64)?;
    let model = network(sizes.outputs_width, k)?;
    let objective = objective_of_first(&ctx, &model, loss, &examples, sizes.examples)?;
    let (point, norm) = descend(&ctx, &objective, initialize(&model, seed, DType::F64)?)?;
    let (matrix, scope) = (CurvatureMatrix::Hessian, Scope::default());
    let found = extremes(&ctx, &objective, &point, (matrix, &scope), &ENDS)?;
    let pairs = found.top.iter().chain(&found.bottom);
    let mut values: Vec<f64> = pairs.map(|pair| pair.value.abs()).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    let gap = match values.get(k - 1..=k) {
        Some([last, next]) => (last / next).log2(),
        _ => f64::NAN,
    };
    let outliers = count_outliers(&values, GAP)? as f64;
    Ok([outliers, gap, f64::from(u8::from(found.converged)), norm])
}

/// Networks of several outputs, under each loss.
pub(super) fn read_outputs(
    bench: &Bench<'_>,
    sizes: &Sizes,
    seeds: &[u64],
    findings: &mut Findings,
) -> Result<()> {
    let seeds = &seeds[..seeds.len().min(sizes.outputs_seeds as usize)];
    let (mut steepest, mut open) = (0.0f64, 0.0);
    for (name, loss) in LOSSES {
        for &k in sizes.outputs {
            let rows = bench.each(&format!("{name}, {k} classes"), seeds, |&seed| {
                bench.row(&format!("digits/{name}/{k}-{seed}"), || {
                    spectrum(bench, sizes, loss, k, seed)
                })
            })?;
            let of = format!("{k} classes of digits, {name}");
            findings.read_with(format!("outliers, {of}"), &mean(&column(&rows, 0))?);
            findings.read_with(
                format!("binary logarithm of the ratio of eigenvalues {k} and {}, {of}", k + 1),
                &mean(&column(&rows, 1))?,
            );
            open += rows.iter().filter(|row| row[2] == 0.0).count() as f64;
            steepest = column(&rows, 3).into_iter().fold(steepest, f64::max);
        }
    }
    findings.read("spectra of digits whose ends did not converge", open);
    findings.read("largest norm of the gradient at the ends of descents on digits", steepest);
    Ok(())
}
